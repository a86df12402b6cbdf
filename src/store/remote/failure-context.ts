// What is known of a failed request to any store that is reached over HTTP, for its message and hint.

/** How one store's settings are called: flag and key of the plan, as hints name them. */
export interface SourceNames {
  readonly endpoint: string;
  readonly caFile: string;
  /** Missing where a store has only one form of address. */
  readonly pathStyle?: string;
}

export interface ConnectionContext {
  /** What was requested: `s3://bucket/prefix/key`. */
  readonly where: string;
  /** The endpoint of the plan or environment; missing for the cloud's own. */
  readonly endpoint?: string;
  /** The name that may have become part of the host name. */
  readonly bucketName?: string;
  readonly names: SourceNames;
}
