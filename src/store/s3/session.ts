// The one place where the AWS SDK is called: it signs, finds endpoint and keys, and reads XML. Its retries are off, since
// they end where bodies begin; failures come out sorted.
import type * as Sdk from '@aws-sdk/client-s3';
import { abortable } from '../../concurrency.ts';
import { DatamoverError, type Problem } from '../../errors.ts';
import { collect } from '../../problems.ts';
import { readSettings } from '../aws/settings.ts';
import type { Receiver } from '../http/exchange.ts';
import type { Attempt } from '../retry/attempt.ts';
import { type RetryPolicy, type SourceState, TransientError } from '../retry/policy.ts';
import { chooseCredentials } from './credentials.ts';
import { classifyError, conditionalFailure, nameOf, statusOf } from './errors.ts';
import type { FailureContext } from './failure-context.ts';
import { readSseKey, readTlsOptions } from './files.ts';
import { IfMatch, refusesFeature } from './if-match.ts';
import { type ListPage, type ListPosition, toPage } from './list-page.ts';
import {
  checkBucket,
  checkEndpoint,
  choosePathStyle,
  chooseRegion,
  type Environment,
  normalPrefix,
  type S3Options,
} from './options.ts';
import { PortCheck } from './port-check.ts';
import { bypassesProxy, readProxyEnvironment } from './proxy.ts';
import { GuardedReceiver } from './receiver.ts';
import { KeyRenewal } from './renewal.ts';
import { FENCED_S3, fencedConfig } from './sdk-config.ts';
import { type Signing, SigningCorrection } from './signing.ts';
import { destinationOf, S3Transport, type SendOptions } from './transport.ts';

export interface SessionOptions {
  readonly concurrency: number;
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  readonly env: Environment;
}

interface SessionParts {
  readonly sseKey: Uint8Array | undefined;
  readonly source: SourceState;
  readonly port: PortCheck;
  readonly pathStyle: boolean;
  readonly region: string;
}

type Client = Sdk.S3Client;

interface SseHeaders {
  readonly SSECustomerAlgorithm?: string;
  readonly SSECustomerKey?: string;
}

export class S3Session {
  readonly prefix: string;
  readonly description: string;
  /** What was found out of the store's dialect. */
  readonly ifMatch = new IfMatch();
  readonly #sdk: typeof Sdk;
  readonly #client: Client;
  readonly #options: S3Options;
  readonly #sse: SseHeaders;
  /** Undefined until it was found out. */
  #listsV2: boolean | undefined;
  readonly #signing: Signing = { version: 0 };
  readonly #renewal: KeyRenewal;
  readonly #correction: SigningCorrection;
  readonly #source: SourceState;
  readonly #port: PortCheck;
  readonly #pathStyle: boolean;

  private constructor(sdk: typeof Sdk, client: Client, options: S3Options, parts: SessionParts) {
    const { sseKey } = parts;
    this.#sdk = sdk;
    this.#client = client;
    this.#renewal = new KeyRenewal(client, this.#signing);
    this.#correction = new SigningCorrection(client, parts.region, this.#signing);
    this.#source = parts.source;
    this.#port = parts.port;
    this.#pathStyle = parts.pathStyle;
    this.#options = options;
    this.#sse =
      sseKey === undefined
        ? {}
        : { SSECustomerAlgorithm: 'AES256', SSECustomerKey: Buffer.from(sseKey).toString('base64') };
    this.prefix = normalPrefix(options);
    this.description = `s3://${options.bucket}/${this.prefix}`.replace(/\/$/, '');
  }

  static async open(options: S3Options, { concurrency, policy, source, env }: SessionOptions): Promise<S3Session> {
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
    const sdk = await import('@aws-sdk/client-s3');
    const client = new sdk.S3Client({
      ...fencedConfig(settings),
      ...FENCED_S3,
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
    return new S3Session(sdk, client, named, { sseKey, source, port, pathStyle, region });
  }

  /** What a request that starts now is signed with: grows whenever keys, region or clock were corrected. To be handed to `sorted`. */
  get keys(): number {
    return this.#signing.version;
  }

  describe(key: string): string {
    return `s3://${this.#options.bucket}/${this.prefix}${key}`;
  }

  async head(key: string, attempt: Attempt): Promise<Sdk.HeadObjectCommandOutput> {
    const command = new this.#sdk.HeadObjectCommand({ ...this.#object(key), ChecksumMode: 'ENABLED' });
    const watch = { answered: () => attempt.answered(), onBytes: () => {} };
    const options: SendOptions = { abortSignal: attempt.signal, watch };
    return await abortable(this.#client.send(command, options), attempt.signal);
  }

  /**
   * A GET whose body goes into the receiver's sink; of the range, and only if the ETag matches, where these are given. Throws what
   * `sorted` gives, or a `ConditionRefused` where `ifMatch` may be the cause.
   */
  async get(
    key: string,
    { range, ifMatch }: { readonly range?: string; readonly ifMatch?: string | undefined },
    receiver: Receiver,
    signal: AbortSignal,
  ): Promise<void> {
    const command = new this.#sdk.GetObjectCommand({
      ...this.#object(key),
      ...(range === undefined ? {} : { Range: range }),
      ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
    });
    const guarded = new GuardedReceiver(receiver);
    const options: SendOptions = { abortSignal: signal, receiver: guarded };
    const { keys } = this;
    try {
      // Not all that it does heeds the signal: keys may have to be asked for first.
      await abortable(this.#client.send(command, options), signal);
    } catch (error) {
      throw guarded.refusal === undefined
        ? await this.sorted(error, { key, keys, conditional: ifMatch !== undefined, signal })
        : guarded.refusal.error;
    }
  }

  /**
   * One page of the entries right under `prefix`, a key with its '/' or ''. Of ListObjects where the server does not know ListObjectsV2,
   * or where the page before named no token.
   */
  async list(
    prefix: string,
    { from = {}, limit }: { readonly from?: ListPosition; readonly limit?: number },
    { attempt, onBytes }: { readonly attempt: Attempt; readonly onBytes: (count: number) => void },
  ): Promise<ListPage> {
    const { ListObjectsCommand, ListObjectsV2Command } = this.#sdk;
    const input = {
      Bucket: this.#options.bucket,
      Prefix: `${this.prefix}${prefix}`,
      Delimiter: '/',
      ...(limit === undefined ? {} : { MaxKeys: limit }),
    };
    const { token, after } = from;
    const watch = { answered: () => attempt.answered(), onBytes };
    const options: SendOptions = { abortSignal: attempt.signal, watch };
    const first = new ListObjectsCommand({ ...input, ...(after === undefined ? {} : { Marker: after }) });
    const viaFirst = async (): Promise<ListPage> =>
      toPage(await abortable(this.#client.send(first, options), attempt.signal), input.Prefix);
    if (this.#listsV2 === false || after !== undefined) return await viaFirst();
    try {
      const second = new ListObjectsV2Command({
        ...input,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page = toPage(await abortable(this.#client.send(second, options), attempt.signal), input.Prefix);
      this.#listsV2 = true;
      return page;
    } catch (error) {
      if (this.#listsV2 === true || !refusesFeature(statusOf(error), nameOf(error))) throw error;
      const page = await viaFirst().catch(() => undefined);
      attempt.signal.throwIfAborted();
      if (page === undefined) throw error;
      this.#listsV2 = false;
      return page;
    }
  }

  /**
   * What an error of this session means: see `sortFailure`, and `conditionalFailure` where `conditional`. An expired session token is
   * renewed, if that can be done: once for all requests that were signed with it. What hinders the renewal may pass: a file half
   * written, a service that restarts.
   */
  async sorted(
    error: unknown,
    {
      key,
      keys,
      conditional = false,
      signal,
    }: {
      readonly key: string;
      readonly keys: number;
      readonly conditional?: boolean;
      readonly signal: AbortSignal;
    },
  ): Promise<unknown> {
    const failure = await this.#judged(error, { key, keys, signal });
    return conditional ? conditionalFailure(error, failure) : failure;
  }

  async #judged(
    error: unknown,
    { key, keys, signal }: { readonly key: string; readonly keys: number; readonly signal: AbortSignal },
  ): Promise<unknown> {
    const context = this.context(key);
    const sorted = classifyError(error, context);
    const failure = await this.#port.refine(error, sorted, { context, answered: this.#source.answered, signal });
    const corrected = failure instanceof DatamoverError ? this.#correction.after(error, keys) : undefined;
    if (failure instanceof DatamoverError && corrected !== undefined) {
      return new TransientError(corrected, { retryNow: true, fewRetries: true, finalError: failure });
    }
    const name = nameOf(error);
    if (name !== 'ExpiredToken' && name !== 'TokenRefreshRequired') return failure;
    if (!(failure instanceof DatamoverError)) return failure;
    try {
      if (!(await abortable(this.#renewal.renewed(keys), signal))) return failure;
    } catch (cause) {
      signal.throwIfAborted();
      return new TransientError('the session token expired, and no new one could be obtained', {
        finalError: failure,
        cause,
      });
    }
    return new TransientError('the session token expired', { retryNow: true, fewRetries: true, finalError: failure });
  }

  context(key: string): FailureContext {
    const { bucket, endpoint } = this.#options;
    return {
      where: this.describe(key),
      bucket: `bucket "${bucket}"${endpoint === undefined ? '' : ` at ${endpoint}`}`,
      bucketName: bucket,
      pathStyle: this.#pathStyle,
      sseKey: this.#sse.SSECustomerKey !== undefined,
      region: this.#correction.region,
      ...(endpoint === undefined ? {} : { endpoint }),
    };
  }

  /** Ends all connections. */
  close(): void {
    this.#client.destroy();
  }

  #object(key: string): { Bucket: string; Key: string } & SseHeaders {
    return { Bucket: this.#options.bucket, Key: `${this.prefix}${key}`, ...this.#sse };
  }
}
