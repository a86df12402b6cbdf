// The one place where the AWS SDK is called: it signs, finds endpoint and keys, and reads XML. Its retries are off, since
// they end where bodies begin; failures come out sorted.
import { GetObjectCommand, HeadObjectCommand, type HeadObjectCommandOutput, type S3Client } from '@aws-sdk/client-s3';
import { abortable } from '../../concurrency.ts';
import { DatamoverError } from '../../errors.ts';
import type { S3Options } from '../../s3-options.ts';
import type { Receiver } from '../http/exchange.ts';
import { IfMatch } from '../remote/if-match.ts';
import type { ObjectReader } from '../remote/reader.ts';
import { GuardedReceiver } from '../remote/receiver.ts';
import type { Attempt } from '../retry/attempt.ts';
import { type SourceState, TransientError } from '../retry/policy.ts';
import { DirectGets } from './direct-gets.ts';
import { classifyError, conditionalFailure, errorName } from './errors.ts';
import type { FailureContext } from './failure-context.ts';
import { NO_S3_HINT, S3_NAMES } from './hints.ts';
import { ListRequest } from './list-request.ts';
import { normalPrefix } from './options.ts';
import type { PortCheck } from './port-check.ts';
import { KeyRenewal } from './renewal.ts';
import { type Signing, SigningCorrection } from './signing.ts';
import type { S3Transport, SendOptions } from './transport.ts';

export interface SessionParts {
  readonly client: S3Client;
  /** The client's. */
  readonly transport: S3Transport;
  readonly sseKey: Uint8Array | undefined;
  readonly source: SourceState;
  readonly port: PortCheck;
  readonly pathStyle: boolean;
  readonly region: string;
}

interface GetOptions {
  readonly range?: string | undefined;
  readonly ifMatch?: string | undefined;
}

interface SseHeaders {
  readonly SSECustomerAlgorithm?: string;
  readonly SSECustomerKey?: string;
}

export class S3Session implements ObjectReader {
  readonly prefix: string;
  readonly description: string;
  /** What was found out of the store's dialect. */
  readonly ifMatch = new IfMatch();
  readonly listing: ListRequest;
  readonly wrongServerHint = NO_S3_HINT;
  readonly #client: S3Client;
  readonly #options: S3Options;
  readonly #sse: SseHeaders;
  readonly #signing: Signing = { version: 0 };
  readonly #renewal: KeyRenewal;
  readonly #correction: SigningCorrection;
  readonly #source: SourceState;
  readonly #port: PortCheck;
  readonly #pathStyle: boolean;
  readonly #direct: DirectGets;

  constructor(options: S3Options, parts: SessionParts) {
    const { client, transport, sseKey } = parts;
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
    this.listing = new ListRequest({ client, bucket: options.bucket, prefix: this.prefix });
    const { bucket } = options;
    const command = (key: string): GetObjectCommand => new GetObjectCommand({ Bucket: bucket, Key: key, ...this.#sse });
    this.#direct = new DirectGets({ client, transport, signing: this.#signing, command });
    this.description = `s3://${options.bucket}/${this.prefix}`.replace(/\/$/, '');
  }

  /** What a request that starts now is signed with: grows whenever keys, region or clock were corrected. To be handed to `sorted`. */
  get keys(): number {
    return this.#signing.version;
  }

  describe(key: string): string {
    return `s3://${this.#options.bucket}/${this.prefix}${key}`;
  }

  async head(key: string, attempt: Attempt): Promise<HeadObjectCommandOutput> {
    const command = new HeadObjectCommand({ ...this.#object(key), ChecksumMode: 'ENABLED' });
    const watch = { answered: () => attempt.answered(), onBytes: () => {} };
    const options: SendOptions = { abortSignal: attempt.signal, watch };
    return await abortable(this.#client.send(command, options), attempt.signal);
  }

  /**
   * A GET whose body goes into the receiver's sink; of the range, and only if the ETag matches, where these are given. Throws what
   * `sorted` gives, or a `ConditionRefused` where `ifMatch` may be the cause.
   */
  async get(key: string, { range, ifMatch }: GetOptions, receiver: Receiver, signal: AbortSignal): Promise<void> {
    const guarded = new GuardedReceiver(receiver);
    const { keys } = this;
    try {
      // Not all that it does heeds the signal: keys may have to be asked for first.
      await abortable(this.#send(key, { range, ifMatch }, guarded, signal), signal);
    } catch (error) {
      throw guarded.refusal === undefined
        ? await this.sorted(error, { key, keys, conditional: ifMatch !== undefined, signal })
        : guarded.refusal.error;
    }
  }

  async #send(
    key: string,
    { range, ifMatch }: GetOptions,
    receiver: Receiver,
    abortSignal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#direct.send({ key: `${this.prefix}${key}`, range, ifMatch }, receiver, abortSignal);
    if (answer !== undefined && answer.status < 300) return;
    const command = new GetObjectCommand({
      ...this.#object(key),
      ...(range === undefined ? {} : { Range: range }),
      ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
    });
    // What is no success is left to the SDK, which reads S3's errors.
    const options: SendOptions = answer === undefined ? { abortSignal, receiver } : { abortSignal, answer };
    await this.#client.send(command, options);
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
    const name = errorName(error);
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
      names: S3_NAMES,
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
