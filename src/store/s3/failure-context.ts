// What is known of a request that failed, for its message and hint.
export interface FailureContext {
  /** What was asked for: `s3://bucket/prefix/key`. */
  readonly where: string;
  /** `bucket "x" at http://…`. */
  readonly bucket: string;
  readonly bucketName?: string;
  /** The endpoint of the plan or environment; missing for AWS's own. */
  readonly endpoint?: string;
  /** Whether requests name the bucket in the path, not in the host name. */
  readonly pathStyle?: boolean;
  /** What requests are signed for. */
  readonly region?: string;
  /** Whether requests carry an SSE-C key. */
  readonly sseKey?: boolean;
}
