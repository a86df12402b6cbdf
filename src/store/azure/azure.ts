// A backup in a container of Azure Blob Storage. Requests are signed here and go over connections of the program's own; Azure's
// library is loaded only for identities that need a token.
import { getFips } from 'node:crypto';
import type { AzureOptions } from '../../azure-options.ts';
import { DatamoverError, type Problem } from '../../errors.ts';
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
import type { ObjectChecksum, ObjectInfo, ObjectStore } from '../store.ts';
import { checkNames, cloudOf, endpointOf } from './account.ts';
import { Authorizer } from './authorizer.ts';
import { readIdentity } from './identity.ts';
import { parseListPage } from './list-page.ts';
import { AzureSession } from './session.ts';

export interface OpenAzureOptions {
  /** Connections kept for ranged reads. How many reads run at a time is the caller's affair. */
  readonly concurrency: number;
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  /** Proxies, and credentials that the plan does not name. */
  readonly env: Environment;
  /** For tests: how patient to be. */
  readonly policy?: RetryPolicy;
}

/**
 * Opens the container; nothing is sent yet. PLAN_INVALID for names, credentials and CA files that cannot be used and for an
 * endpoint that is none, USAGE for a proxy or a read timeout that is none; every problem is reported in one list.
 */
export async function openAzureStore(options: AzureOptions, open: OpenAzureOptions): Promise<ObjectStore> {
  const { concurrency, env, onRetry } = open;
  const policy = retryPolicyOf(open, env);
  const source: SourceState = { answered: false };
  const session = await openSession(options, { concurrency, policy, source, env });
  return remoteStore({ session, retries: { policy, source, onRetry }, head: headBlob, list: listBlobs });
}

const listBlobs = (session: AzureSession, prefix: string, context: RetryContext) =>
  listPages(session, { prefix, parse: parseListPage }, context);

/** A GET of the first byte rather than HEAD: its refusals have a body, and it shows an archived blob. */
async function headBlob(session: AzureSession, key: string, attempt: Attempt): Promise<ObjectInfo> {
  const { size, pin, headers } = await probeObject(session, key, attempt);
  return { key, size, etag: formatPin(pin), checksums: checksumsOf(headers) };
}

interface SessionOptions {
  readonly concurrency: number;
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  readonly env: Environment;
}

async function openSession(
  options: AzureOptions,
  { concurrency, policy, source, env }: SessionOptions,
): Promise<AzureSession> {
  const problems: Problem[] = [];
  await collect(problems, () => checkNames(options));
  const proxies = await collect(problems, () => readProxyEnvironment(env));
  const cloudName = await collect(problems, () => readCloudName(options, env));
  const endpoint = await collect(problems, () => endpointOf(options, options.cloud ?? cloudNamed(cloudName)));
  const tls = await collect(problems, () => readTlsOptions(options, caBundle(env)));
  if (proxies === undefined || endpoint === undefined || tls === undefined || problems.length > 0) {
    throw DatamoverError.fromProblems(problems);
  }
  const origin = destinationOf(endpoint);
  const client = new HttpClient({ origin, tls, proxies, keep: concurrency, connectMs: policy.connectMs });
  const authorizer = new Authorizer({ options, env, tls, proxies, answerMs: policy.stallMs });
  return new AzureSession(options, { endpoint, client, authorizer, source });
}

/** As files or environment name it. PLAN_INVALID for files that cannot be used. */
async function readCloudName(options: AzureOptions, env: Environment): Promise<string | undefined> {
  try {
    return (await readIdentity(options, env)).cloudName;
  } catch (error) {
    // Missing credentials are reported with the first blob that needs them, together with all other problems.
    if (!(error instanceof DatamoverError) || error.code !== 'ACCESS_DENIED') throw error;
    return undefined;
  }
}

function cloudNamed(name: string | undefined) {
  const cloud = name === undefined ? 'AzurePublicCloud' : cloudOf(name);
  if (cloud !== undefined) return cloud;
  throw new DatamoverError('PLAN_INVALID', `unknown Azure cloud in AZURE_CLOUD_NAME: ${JSON.stringify(name)}`, {
    hint: 'use AzurePublicCloud, AzureUSGovernmentCloud or AzureChinaCloud, or set the endpoint of the account',
  });
}

function caBundle(env: Environment) {
  const file = variable(env, 'SSL_CERT_FILE');
  return file === undefined ? undefined : { file, namedBy: 'SSL_CERT_FILE' };
}

/** The MD5 of the complete blob, where it has one. */
function checksumsOf(headers: Readonly<Record<string, string>>): ObjectChecksum[] {
  const text = headers['x-ms-blob-content-md5'] ?? '';
  const bytes = Buffer.from(text, 'base64');
  // OpenSSL in FIPS mode does not compute it.
  if (!/^[A-Za-z0-9+/]{22}==$/.test(text) || bytes.length !== 16 || getFips() !== 0) return [];
  return [{ algorithm: 'md5', hex: bytes.toString('hex') }];
}
