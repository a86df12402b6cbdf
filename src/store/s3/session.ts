// The one place where the AWS SDK is called: it signs, finds endpoint and keys, and reads XML. Its retries are off, since
// they end where bodies begin; failures come out sorted.
import type * as Sdk from '@aws-sdk/client-s3';
import { abortable } from '../../concurrency.ts';
import { DatamoverError } from '../../errors.ts';
import { readSettings } from '../aws/settings.ts';
import type { Receiver } from '../http/exchange.ts';
import type { Attempt } from '../retry/attempt.ts';
import type { RetryPolicy, SourceState } from '../retry/policy.ts';
import { TransientError } from '../retry/policy.ts';
import { chooseCredentials } from './credentials.ts';
import { type FailureContext, nameOf, sortFailure } from './errors.ts';
import { readSseKey, readTlsOptions } from './files.ts';
import {
  checkBucket,
  checkEndpoint,
  choosePathStyle,
  chooseRegion,
  type Environment,
  normalPrefix,
  type S3Options,
} from './options.ts';
import { readProxyEnvironment } from './proxy.ts';
import { GuardedReceiver } from './receiver.ts';
import { FENCED_S3, fencedConfig } from './sdk-config.ts';
import { S3Transport, type SendOptions } from './transport.ts';

export interface SessionOptions {
  readonly concurrency: number;
  readonly policy: RetryPolicy;
  readonly source: SourceState;
  readonly env: Environment;
}

type Client = Sdk.S3Client;

interface SseHeaders {
  readonly SSECustomerAlgorithm?: string;
  readonly SSECustomerKey?: string;
}

export class S3Session {
  readonly prefix: string;
  readonly description: string;
  readonly #sdk: typeof Sdk;
  readonly #client: Client;
  readonly #options: S3Options;
  readonly #sse: SseHeaders;
  #keys = 0;
  #renewing: Promise<boolean> | undefined;

  private constructor(sdk: typeof Sdk, client: Client, options: S3Options, sseKey: Uint8Array | undefined) {
    this.#sdk = sdk;
    this.#client = client;
    this.#options = options;
    this.#sse =
      sseKey === undefined
        ? {}
        : { SSECustomerAlgorithm: 'AES256', SSECustomerKey: Buffer.from(sseKey).toString('base64') };
    this.prefix = normalPrefix(options);
    this.description = `s3://${options.bucket}/${this.prefix}`.replace(/\/$/, '');
  }

  static async open(options: S3Options, { concurrency, policy, source, env }: SessionOptions): Promise<S3Session> {
    checkBucket(options);
    const settings = await readSettings(options, env);
    const { endpoint } = settings;
    const url = checkEndpoint(endpoint);
    const proxies = readProxyEnvironment(env);
    const region = chooseRegion(settings);
    const tls = await readTlsOptions(options, url?.protocol === 'http:' ? undefined : settings.caBundle);
    const sseKey = await readSseKey(options);
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
      forcePathStyle: choosePathStyle(options, url),
      ...(endpoint === undefined ? {} : { endpoint }),
    });
    // It passes a trace id of the environment on (AWS Lambda's).
    client.middlewareStack.remove('recursionDetectionMiddleware');
    return new S3Session(sdk, client, { ...options, ...(endpoint === undefined ? {} : { endpoint }) }, sseKey);
  }

  /** Which keys a request that begins now is signed with: grows whenever they were renewed. To be handed to `sorted`. */
  get keys(): number {
    return this.#keys;
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

  /** A GET whose body goes into the receiver's sink; of the range, pinned, where these are given. */
  async get(
    key: string,
    { range, etag }: { readonly range?: string; readonly etag?: string },
    receiver: Receiver,
    signal: AbortSignal,
  ): Promise<void> {
    const command = new this.#sdk.GetObjectCommand({
      ...this.#object(key),
      ...(range === undefined ? {} : { Range: range }),
      ...(etag === undefined ? {} : { IfMatch: etag }),
    });
    const guarded = new GuardedReceiver(receiver);
    const options: SendOptions = { abortSignal: signal, receiver: guarded };
    const { keys } = this;
    try {
      // Not all that it does heeds the signal: keys may have to be asked for first.
      await abortable(this.#client.send(command, options), signal);
    } catch (error) {
      throw guarded.refusal === undefined ? await this.sorted(error, { key, keys, signal }) : guarded.refusal.error;
    }
  }

  /** One page of what lies right under `prefix`, a key with its '/' or ''. */
  async list(
    prefix: string,
    { token, limit }: { readonly token?: string | undefined; readonly limit?: number },
    { attempt, onBytes }: { readonly attempt: Attempt; readonly onBytes: (count: number) => void },
  ): Promise<Sdk.ListObjectsV2CommandOutput> {
    const command = new this.#sdk.ListObjectsV2Command({
      Bucket: this.#options.bucket,
      Prefix: `${this.prefix}${prefix}`,
      Delimiter: '/',
      ...(token === undefined ? {} : { ContinuationToken: token }),
      ...(limit === undefined ? {} : { MaxKeys: limit }),
    });
    const watch = { answered: () => attempt.answered(), onBytes };
    const options: SendOptions = { abortSignal: attempt.signal, watch };
    return await abortable(this.#client.send(command, options), attempt.signal);
  }

  /**
   * What an error of this session means; see `sortFailure`. An expired session token is renewed, if that can be done: once
   * for all requests that were signed with it. What hinders the renewal may pass: a file half written, a service that restarts.
   */
  async sorted(
    error: unknown,
    { key, keys, signal }: { readonly key: string; readonly keys: number; readonly signal: AbortSignal },
  ): Promise<unknown> {
    const failure = sortFailure(error, this.context(key));
    const name = nameOf(error);
    if (name !== 'ExpiredToken' && name !== 'TokenRefreshRequired') return failure;
    if (!(failure instanceof DatamoverError)) return failure;
    try {
      if (!(await abortable(this.#renewed(keys), signal))) return failure;
    } catch (cause) {
      signal.throwIfAborted();
      return new TransientError('the session token had expired, and no other could be had', {
        finally: failure,
        cause,
      });
    }
    return new TransientError('the session token had expired', { mended: true, unlikely: true, finally: failure });
  }

  context(key: string): FailureContext {
    const { bucket, endpoint } = this.#options;
    return {
      where: this.describe(key),
      bucket: `bucket "${bucket}"${endpoint === undefined ? '' : ` at ${endpoint}`}`,
    };
  }

  /** Ends all connections. */
  close(): void {
    this.#client.destroy();
  }

  /** True when there are other keys than those. */
  async #renewed(keys: number): Promise<boolean> {
    if (keys !== this.#keys) return true;
    this.#renewing ??= this.#renewKeys().finally(() => {
      this.#renewing = undefined;
    });
    return await this.#renewing;
  }

  /** True when asking again gave other keys. */
  async #renewKeys(): Promise<boolean> {
    const { credentials } = this.#client.config;
    const before = await credentials();
    const after = await credentials({ forceRefresh: true });
    const others = before.accessKeyId !== after.accessKeyId || before.sessionToken !== after.sessionToken;
    if (others) this.#keys += 1;
    return others;
  }

  #object(key: string): { Bucket: string; Key: string } & SseHeaders {
    return { Bucket: this.#options.bucket, Key: `${this.prefix}${key}`, ...this.#sse };
  }
}
