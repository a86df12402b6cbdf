// What is known of a request that failed, for its message and hint.
import type { ConnectionContext } from '../remote/failure-context.ts';

export interface FailureContext extends ConnectionContext {
  /** `bucket "x" at http://…`. */
  readonly bucket: string;
  /** Whether requests name the bucket in the path, not in the host name. */
  readonly pathStyle?: boolean;
  /** What requests are signed for. */
  readonly region?: string;
  /** Whether requests carry an SSE-C key. */
  readonly sseKey?: boolean;
}
