// A backup in a bucket of Google Cloud Storage, by its XML API. Tokens are requested here, without a library of Google's: one request for each
// kind of credentials, which goes over the connections, proxies and certificates of the source.
import { DatamoverError, type Problem } from '../../errors.ts';
import type { GcsOptions } from '../../gcs-options.ts';
import { collect } from '../../problems.ts';
import type { RetryEvent } from '../../progress.ts';
import { HttpClient } from '../remote/client.ts';
import { type Environment, variable } from '../remote/environment.ts';
import { probeObject } from '../remote/first-byte.ts';
import { listPages } from '../remote/list-pages.ts';
import { formatPin } from '../remote/pin.ts';
import { destinationOf, readProxyEnvironment } from '../remote/proxy.ts';
import { remoteStore, retryPolicyOf } from '../remote/remote-store.ts';
import { readTlsOptions } from '../remote/tls.ts';
import type { Attempt } from '../retry/attempt.ts';
import type { RetryPolicy, SourceState } from '../retry/policy.ts';
import type { RetryContext } from '../retry/retry.ts';
import type { ObjectInfo, ObjectStore } from '../store.ts';
import { checksumsOf } from './headers.ts';
import { readIdentity } from './identity.ts';
import { parseListPage } from './list-page.ts';
import { checkBucket, endpointOf } from './options.ts';
import { GcsSession } from './session.ts';
import { Tokens } from './tokens.ts';

export interface OpenGcsOptions {
  /** Connections kept for ranged reads. How many reads run at a time is the caller's affair. */
  readonly concurrency: number;
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  /** Proxies, and credentials that the plan does not name. */
  readonly env: Environment;
  /** For tests: how patient to be. */
  readonly policy?: RetryPolicy;
}

/** Reported once by whoever opens the store. */
export const GCS_NOTE =
  'Google Cloud Storage is experimental: it was tested with an emulation of its XML API, not with the service of Google';

/**
 * Opens the bucket; nothing is sent yet. PLAN_INVALID for a name, credentials and CA files that cannot be used and for an invalid
 * endpoint, USAGE for an invalid proxy or read timeout; every problem is reported in one list.
 */
export async function openGcsStore(options: GcsOptions, open: OpenGcsOptions): Promise<ObjectStore> {
  const { concurrency, env, onRetry } = open;
  const policy = retryPolicyOf(open, env);
  const source: SourceState = { answered: false };
  const session = await openSession(options, { concurrency, policy, source, env });
  return remoteStore({ session, retries: { policy, source, onRetry }, head: headObject, list: listObjects });
}

/** A GET of the first byte rather than HEAD: its refusals have a body. */
async function headObject(session: GcsSession, key: string, attempt: Attempt): Promise<ObjectInfo> {
  const { size, pin, headers } = await probeObject(session, key, attempt);
  session.pinGeneration(key, session.ifMatch.headerFor(pin), headers['x-goog-generation']);
  return { key, size, etag: formatPin(pin), checksums: checksumsOf(headers) };
}

const listObjects = (session: GcsSession, prefix: string, context: RetryContext) =>
  listPages(session, { prefix, parse: parseListPage }, context);

interface SessionOptions {
  readonly concurrency: number;
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  readonly env: Environment;
}

async function openSession(
  options: GcsOptions,
  { concurrency, policy, source, env }: SessionOptions,
): Promise<GcsSession> {
  const problems: Problem[] = [];
  await collect(problems, () => checkBucket(options));
  const proxies = await collect(problems, () => readProxyEnvironment(env));
  const endpoint = await collect(problems, () => endpointOf(options));
  await collect(problems, () => checkIdentity(options, env));
  const tls = await collect(problems, () => readTlsOptions(options, caBundle(env)));
  if (proxies === undefined || endpoint === undefined || tls === undefined || problems.length > 0) {
    throw DatamoverError.fromProblems(problems);
  }
  const origin = destinationOf(endpoint);
  const client = new HttpClient({ origin, tls, proxies, keep: concurrency, connectMs: policy.connectMs });
  const tokens = new Tokens({ options, env, tls, proxies, answerMs: policy.stallMs });
  return new GcsSession(options, { endpoint, client, tokens, source });
}

/** PLAN_INVALID for a file of the plan that cannot be used. */
async function checkIdentity(options: GcsOptions, env: Environment): Promise<void> {
  try {
    await readIdentity(options, env);
  } catch (error) {
    // Those of the environment are reported with the first object that needs them, together with all other problems.
    if (!(error instanceof DatamoverError) || error.code !== 'ACCESS_DENIED') throw error;
  }
}

function caBundle(env: Environment) {
  const file = variable(env, 'SSL_CERT_FILE');
  return file === undefined ? undefined : { file, namedBy: 'SSL_CERT_FILE' };
}
