// Opens the source that a plan names.
import type { Plan } from '../plan/plan.ts';
import { sourceFlags } from '../plan/source-flags.ts';
import type { Progress, RetryEvent } from '../progress.ts';
import { RateLimit } from '../rate-limit.ts';
import { countRequests } from '../store/counted.ts';
import { openDirectoryStore } from '../store/directory/directory.ts';
import { limitReads } from '../store/rate-limited.ts';
import type { ObjectStore } from '../store/store.ts';

/** Connections kept when idle: `stream` has 16 reads in progress, and also those that a client waits for. */
const KEPT_CONNECTIONS = 32;

interface OpenSourceOptions {
  /** Ranged reads at a time: so many connections are kept at least. */
  readonly concurrency?: number | undefined;
  readonly progress: Progress;
  /** For proxies and the default credential chain. */
  readonly env: NodeJS.ProcessEnv;
}

export interface SourceOptions {
  readonly source: Plan['source'];
  readonly concurrency?: number | undefined;
  /** Bytes per second of all reads together; undefined for no limit. */
  readonly maxRate?: number | undefined;
  /** Called for each request to a store that has requests, as `countRequests` says. */
  readonly onRequest?: (() => void) | undefined;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
}

/** Gives `work` the store of the plan's source, its retries reported as progress, and closes it when `work` settles. */
export async function withSource<T>(
  { source, concurrency, maxRate, onRequest, env, progress }: SourceOptions,
  work: (store: ObjectStore) => Promise<T>,
): Promise<T> {
  const opened = await openSource(source, {
    concurrency,
    progress,
    env,
  });
  const store = { ...opened, sourceFlags: sourceFlags(source) };
  try {
    const limited = maxRate === undefined ? store : limitReads(store, new RateLimit(maxRate));
    const isCounted = onRequest !== undefined && source.kind !== 'directory';
    return await work(isCounted ? countRequests(limited, onRequest) : limited);
  } finally {
    await store.close();
  }
}

/**
 * Opens the store of `source`; the caller closes it. Rejects as the stores do (OBJECT_MISSING for a directory that does not
 * exist, PLAN_INVALID for credentials, CA or key files that cannot be used). Each store is loaded only when it is needed.
 */
async function openSource(source: Plan['source'], options: OpenSourceOptions): Promise<ObjectStore> {
  const { progress, env } = options;
  const onRetry = (event: RetryEvent): void => progress.report({ type: 'retry', ...event });
  if (source.kind === 'directory') return await openDirectoryStore({ directory: source.directory }, { onRetry });
  const open = { concurrency: Math.max(options.concurrency ?? 0, KEPT_CONNECTIONS), env, onRetry };
  if (source.kind === 'azure') {
    const { openAzureStore } = await import('../store/azure/azure.ts');
    return await openAzureStore(source, open);
  }
  if (source.kind === 'gcs') {
    const { openGcsStore, GCS_NOTE } = await import('../store/gcs/gcs.ts');
    progress.report({ type: 'info', message: GCS_NOTE });
    return await openGcsStore(source, open);
  }
  const { openS3Store } = await import('../store/s3/s3.ts');
  return await openS3Store(source, open);
}
