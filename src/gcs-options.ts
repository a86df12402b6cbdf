// A bucket of Google Cloud Storage as a source: what a plan says of it, and what its store is opened with.

/** The plan's `source.gcs`; file names are absolute. */
export interface GcsOptions {
  readonly bucket: string;
  readonly prefix?: string;
  /** An http or https URL. Default: `https://storage.googleapis.com`. */
  readonly endpoint?: string;
  /** JSON of a service account, or of an identity of another cloud (`external_account`). */
  readonly credentialsFile?: string;
  readonly caFile?: string;
  readonly insecureSkipTLSVerify?: boolean;
  /** PEM text; from the environment of `download` only. */
  readonly caPem?: string;
}
