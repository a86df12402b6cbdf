// From a plan's source and the environment to a client. Every problem of either is reported in one list; nothing is sent.
import { S3Client } from '@aws-sdk/client-s3';
import { DatamoverError, type Problem } from '../../errors.ts';
import { collect } from '../../problems.ts';
import type { S3Options } from '../../s3-options.ts';
import { readSettings } from '../aws/settings.ts';
import type { Environment } from '../remote/environment.ts';
import { bypassesProxy, destinationOf, readProxyEnvironment } from '../remote/proxy.ts';
import { readTlsOptions } from '../remote/tls.ts';
import type { RetryPolicy, SourceState } from '../retry/policy.ts';
import { chooseCredentials } from './credentials.ts';
import { checkBucket, checkEndpoint, choosePathStyle, chooseRegion } from './options.ts';
import { PortCheck } from './port-check.ts';
import { FENCED_S3, fencedConfig } from './sdk-config.ts';
import { S3Session } from './session.ts';
import { Sha256 } from './sha256.ts';
import { readSseKey } from './sse-key.ts';
import { S3Transport } from './transport.ts';

export interface SessionOptions {
  readonly concurrency: number;
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  readonly env: Environment;
}

/**
 * PLAN_INVALID or USAGE with every problem found in the options and in the environment; errors of `chooseCredentials`. The AWS SDK
 * is loaded here.
 */
export async function openSession(
  options: S3Options,
  { concurrency, policy, source, env }: SessionOptions,
): Promise<S3Session> {
  const problems: Problem[] = [];
  await collect(problems, () => checkBucket(options));
  const settings = await collect(problems, () => readSettings(options, env));
  const endpoint = settings?.endpoint;
  const url = await collect(problems, () => checkEndpoint(endpoint));
  const proxies = await collect(problems, () => readProxyEnvironment(env));
  const region = settings && (await collect(problems, () => chooseRegion(settings)));
  const caBundle = url?.protocol === 'http:' ? undefined : settings?.caBundle;
  const tls = await collect(problems, () => readTlsOptions(options, caBundle));
  const sseKey = await collect(problems, () => readSseKey(options));
  if (
    settings === undefined ||
    region === undefined ||
    proxies === undefined ||
    tls === undefined ||
    problems.length > 0
  ) {
    throw DatamoverError.fromProblems(problems);
  }
  const pathStyle = choosePathStyle(options, url);
  const transport = new S3Transport({
    tls,
    proxies,
    keep: concurrency,
    connectMs: policy.connectMs,
    answerMs: policy.stallMs,
    onAnswer: () => {
      source.answered = true;
    },
  });
  const credentials = await chooseCredentials(options, env, { ...settings, region, transport });
  const client = new S3Client({
    ...fencedConfig(settings),
    ...FENCED_S3,
    sha256: Sha256,
    region,
    credentials,
    requestHandler: transport,
    maxAttempts: 1,
    forcePathStyle: pathStyle,
    ...(endpoint === undefined ? {} : { endpoint }),
  });
  // It passes a trace id of the environment on (AWS Lambda's).
  client.middlewareStack.remove('recursionDetectionMiddleware');
  const port = new PortCheck(url !== undefined && bypassesProxy(proxies, destinationOf(url)) ? url : undefined);
  const named = { ...options, ...(endpoint === undefined ? {} : { endpoint }) };
  return new S3Session(named, { client, transport, sseKey, source, port, pathStyle, region });
}
