// The one place that sends requests to Azure: GETs with credentials, over connections of the program's own; failures come out sorted.
import type { AzureOptions } from '../../azure-options.ts';
import { abortable } from '../../concurrency.ts';
import { DatamoverError } from '../../errors.ts';
import type { Answer, Receiver } from '../http/exchange.ts';
import { encodePath, formatTarget } from '../http/message.ts';
import type { HttpClient } from '../remote/client.ts';
import { connectionFailure } from '../remote/connection-errors.ts';
import { type ErrorAnswer, errorAnswerOf } from '../remote/error-answer.ts';
import { ConditionRefused, IfMatch, refusesFeature } from '../remote/if-match.ts';
import { PAGE_ENTRIES } from '../remote/list-pages.ts';
import type { ObjectReader } from '../remote/reader.ts';
import { GuardedReceiver } from '../remote/receiver.ts';
import { refuseWebPage } from '../remote/web-page.ts';
import { type SourceState, TransientError } from '../retry/policy.ts';
import { normalPrefix } from './account.ts';
import type { Authorizer } from './authorizer.ts';
import { azureFailure, type FailureContext } from './errors.ts';
import { AZURE_NAMES, AZURE_REQUEST_ID, NO_AZURE_HINT } from './hints.ts';
import type { SignedRequest } from './shared-key.ts';
import { tokenFailure } from './token-errors.ts';

export interface SessionParts {
  readonly endpoint: URL;
  readonly client: HttpClient;
  readonly authorizer: Authorizer;
  readonly source: SourceState;
}

export class AzureSession implements ObjectReader {
  readonly prefix: string;
  readonly description: string;
  readonly ifMatch = new IfMatch();
  readonly wrongServerHint = NO_AZURE_HINT;
  readonly #options: AzureOptions;
  readonly #parts: SessionParts;
  /** Path of the container, encoded. */
  readonly #path: string;

  constructor(options: AzureOptions, parts: SessionParts) {
    this.#options = options;
    this.#parts = parts;
    this.prefix = normalPrefix(options);
    this.description = `azure://${options.account}/${options.container}/${this.prefix}`.replace(/\/$/, '');
    this.#path = `${parts.endpoint.pathname.replace(/\/+$/, '')}/${encodePath(options.container)}`;
  }

  describe(key: string): string {
    const { account, container } = this.#options;
    return `azure://${account}/${container}/${this.prefix}${key}`;
  }

  async get(
    key: string,
    { range, ifMatch }: { readonly range?: string; readonly ifMatch?: string | undefined },
    receiver: Receiver,
    signal: AbortSignal,
  ): Promise<void> {
    const target = `${this.#path}/${encodePath(`${this.prefix}${key}`)}`;
    const headers = {
      ...(range === undefined ? {} : { range }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    };
    await this.#send({ target, headers }, { key, receiver, conditional: ifMatch !== undefined, signal });
  }

  /** One page of the entries right under `prefix`, a key with its '/' or ''; its XML goes into the receiver's sink. */
  async list(prefix: string, marker: string | undefined, receiver: Receiver, signal: AbortSignal): Promise<void> {
    const target = formatTarget(this.#path, {
      restype: 'container',
      comp: 'list',
      delimiter: '/',
      maxresults: String(PAGE_ENTRIES),
      ...(this.prefix + prefix === '' ? {} : { prefix: this.prefix + prefix }),
      ...(marker === undefined ? {} : { marker }),
    });
    await this.#send({ target, headers: {} }, { key: prefix, receiver, conditional: false, signal });
  }

  context(key: string): FailureContext {
    const { account, container, endpoint } = this.#options;
    return {
      where: this.describe(key),
      container: `container "${container}" of account ${account}${endpoint === undefined ? '' : ` at ${endpoint}`}`,
      account,
      identity: this.#parts.authorizer.identity,
      names: AZURE_NAMES,
      ...(endpoint === undefined ? {} : { endpoint }),
    };
  }

  /** Ends all connections. */
  close(): void {
    this.#parts.client.close();
  }

  async #send(request: SignedRequest, options: SendOptions): Promise<void> {
    const { key, signal } = options;
    const { authorizer } = this.#parts;
    const { version } = authorizer;
    const signed = await this.#authorized(() => authorizer.authorize(request), options);
    const guarded = new GuardedReceiver(options.receiver);
    let answer: Answer;
    try {
      answer = await this.#parts.client.get(signed, this.#noticed(guarded), signal);
    } catch (error) {
      throw guarded.refusal === undefined ? connectionFailure(error, this.context(key)) : guarded.refusal.error;
    }
    if (answer.status >= 300) throw await this.#refused(errorAnswerOf(answer, 'x-ms-error-code'), version, options);
  }

  /** What an answer means; credentials that may be outdated are corrected before. */
  async #refused(answer: ErrorAnswer, version: number, options: SendOptions): Promise<unknown> {
    const { authorizer } = this.#parts;
    const failure = azureFailure(answer, this.context(options.key));
    if (!(failure instanceof DatamoverError)) return failure;
    const { status, code, headers } = answer;
    if (options.conditional && (status === 412 || refusesFeature(status, nameOf(code)))) {
      return new ConditionRefused(failure);
    }
    if (failure.code !== 'ACCESS_DENIED' || (status !== 401 && status !== 403)) return failure;
    // Not all servers name what is missing; where it is not the role, the key is refused in the same way.
    const lacksRole = /^Authorization(PermissionMismatch|Failure)$/.test(code);
    const why = await this.#authorized(
      () => authorizer.afterRefusal(version, { serverDate: headers.date, lacksRole }),
      options,
    );
    if (why === undefined) return failure;
    return new TransientError(why, { retryNow: true, fewRetries: true, finalError: failure });
  }

  /** What asks for credentials; not all of it heeds the signal. */
  async #authorized<T>(ask: () => Promise<T>, { key, signal }: SendOptions): Promise<T> {
    try {
      return await abortable(ask(), signal);
    } catch (error) {
      signal.throwIfAborted();
      const { identity } = this.#parts.authorizer;
      const managed = identity?.kind === 'entra' && identity.identity.kind === 'managed';
      throw tokenFailure(error, this.context(key), managed);
    }
  }

  #noticed(receiver: Receiver): Receiver {
    return {
      onHead: (head) => {
        this.#parts.source.answered = true;
        refuseWebPage(head, { ownHeader: AZURE_REQUEST_ID, hint: NO_AZURE_HINT });
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

/** For `refusesFeature`: the names that other servers have for what they do not know. */
function nameOf(code: string): string {
  return code === '' ? 'Unknown' : code.replace('InvalidHeaderValue', 'InvalidHeader');
}
