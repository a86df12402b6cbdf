// The one place that sends requests to Google Cloud Storage: GETs with a token, over connections of the program's own; failures come out sorted.
import { abortable } from '../../concurrency.ts';
import { DatamoverError } from '../../errors.ts';
import type { GcsOptions } from '../../gcs-options.ts';
import type { Answer, Receiver } from '../http/exchange.ts';
import { encodePath, formatTarget } from '../http/message.ts';
import type { ClientRequest, HttpClient } from '../remote/client.ts';
import { connectionFailure } from '../remote/connection-errors.ts';
import { type ErrorAnswer, errorAnswerOf } from '../remote/error-answer.ts';
import { ConditionRefused, IfMatch, refusesFeature } from '../remote/if-match.ts';
import { PAGE_ENTRIES } from '../remote/list-pages.ts';
import type { ObjectReader } from '../remote/reader.ts';
import { GuardedReceiver } from '../remote/receiver.ts';
import { refuseWebPage } from '../remote/web-page.ts';
import { type SourceState, TransientError } from '../retry/policy.ts';
import { type FailureContext, gcsFailure } from './errors.ts';
import { refuseTranscoding } from './headers.ts';
import { GCS_NAMES, NO_GCS_HINT } from './hints.ts';
import { normalPrefix } from './options.ts';
import { tokenFailure } from './token-errors.ts';
import type { Tokens } from './tokens.ts';

export interface SessionParts {
  readonly endpoint: URL;
  readonly client: HttpClient;
  readonly tokens: Tokens;
  readonly source: SourceState;
}

export class GcsSession implements ObjectReader {
  readonly prefix: string;
  readonly description: string;
  readonly ifMatch = new IfMatch();
  readonly wrongServerHint = NO_GCS_HINT;
  readonly #options: GcsOptions;
  readonly #parts: SessionParts;
  /** Path of the bucket, encoded. */
  readonly #path: string;
  /** Of each object with the ETag that it was found with: the generation to read. */
  readonly #generations = new Map<string, { readonly ifMatch: string | undefined; readonly generation: string }>();

  constructor(options: GcsOptions, parts: SessionParts) {
    this.#options = options;
    this.#parts = parts;
    this.prefix = normalPrefix(options);
    this.description = `gs://${options.bucket}/${this.prefix}`.replace(/\/$/, '');
    this.#path = `${parts.endpoint.pathname.replace(/\/+$/, '')}/${encodePath(options.bucket)}`;
  }

  describe(key: string): string {
    return `gs://${this.#options.bucket}/${this.prefix}${key}`;
  }

  /** Reads of the object with this If-Match are of this generation only. */
  pinGeneration(key: string, ifMatch: string | undefined, generation: string | undefined): void {
    if (generation !== undefined && /^\d{1,20}$/.test(generation)) this.#generations.set(key, { ifMatch, generation });
  }

  async get(
    key: string,
    { range, ifMatch }: { readonly range?: string; readonly ifMatch?: string | undefined },
    receiver: Receiver,
    signal: AbortSignal,
  ): Promise<void> {
    const target = `${this.#path}/${encodePath(`${this.prefix}${key}`)}`;
    const pinned = this.#generations.get(key);
    const headers = {
      ...(range === undefined ? {} : { range }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      ...(ifMatch === undefined || pinned?.ifMatch !== ifMatch
        ? {}
        : { 'x-goog-if-generation-match': pinned.generation }),
    };
    const checked: Receiver = {
      onHead: (head) => {
        if (head.status < 300) refuseTranscoding(head.headers, this.describe(key));
        return receiver.onHead(head);
      },
    };
    await this.#send({ target, headers }, { key, receiver: checked, conditional: ifMatch !== undefined, signal });
  }

  /** As `ListSession.list`. */
  async list(prefix: string, from: string | undefined, receiver: Receiver, signal: AbortSignal): Promise<void> {
    const target = formatTarget(this.#path, {
      'list-type': '2',
      delimiter: '/',
      'max-keys': String(PAGE_ENTRIES),
      ...(this.prefix + prefix === '' ? {} : { prefix: this.prefix + prefix }),
      ...(from === undefined ? {} : { 'continuation-token': from }),
    });
    await this.#send({ target, headers: {} }, { key: prefix, receiver, conditional: false, signal });
  }

  context(key: string): FailureContext {
    const { bucket, endpoint } = this.#options;
    return {
      where: this.describe(key),
      bucket: `bucket "${bucket}"${endpoint === undefined ? '' : ` at ${endpoint}`}`,
      identity: this.#parts.tokens.identity,
      names: GCS_NAMES,
      ...(endpoint === undefined ? {} : { endpoint }),
    };
  }

  /** Ends all connections. */
  close(): void {
    this.#parts.tokens.close();
    this.#parts.client.close();
  }

  async #send({ target, headers }: ClientRequest, options: SendOptions): Promise<void> {
    const { key, signal } = options;
    const { tokens, client } = this.#parts;
    const { version } = tokens;
    const token = await this.#authorized(() => tokens.get(), options);
    const guarded = new GuardedReceiver(options.receiver);
    const request = { target, headers: { ...headers, authorization: `Bearer ${token}` } };
    let answer: Answer;
    try {
      answer = await client.get(request, this.#noticed(guarded), signal);
    } catch (error) {
      throw guarded.refusal === undefined ? connectionFailure(error, this.context(key)) : guarded.refusal.error;
    }
    if (answer.status >= 300) throw await this.#refused(errorAnswerOf(answer), version, options);
    tokens.accepted(version);
  }

  /** What an answer means; a token that may be outdated is replaced before. */
  async #refused(answer: ErrorAnswer, version: number, options: SendOptions): Promise<unknown> {
    const failure = gcsFailure(answer, this.context(options.key));
    if (!(failure instanceof DatamoverError)) return failure;
    const { status, code } = answer;
    if (options.conditional && (status === 412 || refusesFeature(status, code === '' ? 'Unknown' : code))) {
      return new ConditionRefused(failure);
    }
    if (failure.code !== 'ACCESS_DENIED' || (status !== 401 && status !== 403)) return failure;
    const again = await this.#authorized(() => this.#parts.tokens.afterRefusal(version, status), options);
    if (!again) return failure;
    return new TransientError('the request is repeated with a new token', {
      retryNow: true,
      fewRetries: true,
      finalError: failure,
    });
  }

  /** What asks for a token is shared by requests, and does not heed the signal of one. */
  async #authorized<T>(ask: () => Promise<T>, { key, signal }: SendOptions): Promise<T> {
    try {
      return await abortable(ask(), signal);
    } catch (error) {
      signal.throwIfAborted();
      throw tokenFailure(error, this.context(key), this.#parts.tokens.identity);
    }
  }

  #noticed(receiver: Receiver): Receiver {
    return {
      onHead: (head) => {
        this.#parts.source.answered = true;
        refuseWebPage(head, { ownHeader: 'x-goog-generation', hint: NO_GCS_HINT });
        return receiver.onHead(head);
      },
    };
  }
}

interface SendOptions {
  readonly key: string;
  readonly receiver: Receiver;
  /** The request carries If-Match. */
  readonly conditional: boolean;
  readonly signal: AbortSignal;
}
