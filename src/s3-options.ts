// An S3 bucket as a source: what a plan says of it, and what its store is opened with.

/** The plan's `source.s3`; file names are absolute. */
export interface S3Options {
  readonly bucket: string;
  readonly prefix?: string;
  /** An http or https URL. */
  readonly endpoint?: string;
  readonly region?: string;
  readonly forcePathStyle?: boolean;
  readonly profile?: string;
  /** AWS ini format. */
  readonly credentialsFile?: string;
  readonly caFile?: string;
  /** PEM text; from the environment of `download` only. */
  readonly caPem?: string;
  readonly insecureSkipTLSVerify?: boolean;
  /** 32 bytes. */
  readonly sseCustomerKeyFile?: string;
}
