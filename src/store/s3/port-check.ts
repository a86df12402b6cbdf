// A port that closes connections or does not speak TLS: several mistakes look like that, and the port itself tells which.
import { DatamoverError, systemCode } from '../../errors.ts';
import { ClosedEarly } from '../http/exchange.ts';
import { tlsFailure, tlsReason } from '../remote/tls-reasons.ts';
import { TransientError } from '../retry/policy.ts';
import { type ErrorAnswer, errorAnswerOf, isOfS3 } from './answer.ts';
import type { FailureContext } from './failure-context.ts';
import { ENDPOINT, otherScheme } from './hints.ts';
import { probePort, type Spoken } from './port-probe.ts';

export class PortCheck {
  readonly #url: URL | undefined;
  #asked: Promise<Spoken> | undefined;

  /** Without a URL nothing is asked: AWS's own servers, and what is reached through a proxy. */
  constructor(url: URL | undefined) {
    this.#url = url;
  }

  /**
   * The failure with what the port speaks, if `error` is a sign of the wrong port or scheme, else as it is. `answered`: the
   * source has answered before, so that a connection that is closed is nothing but that.
   */
  async refine(
    error: unknown,
    failure: unknown,
    { context, answered, signal }: { context: FailureContext; answered: boolean; signal: AbortSignal },
  ): Promise<unknown> {
    const url = this.#url;
    if (url === undefined || !isSuspicious(error, url, answered)) return failure;
    this.#asked ??= probePort(url, signal);
    const spoken = await this.#asked;
    signal.throwIfAborted();
    const final = (why: string, hint: string): DatamoverError =>
      new DatamoverError('SOURCE_UNREACHABLE', `${context.where}: ${why}`, { hint, cause: error });
    if (url.protocol === 'http:') {
      if (spoken !== 'tls') return failure;
      return final('the server speaks TLS on this port, not plain http', otherScheme(context.endpoint));
    }
    if (spoken === 'http') {
      return final('the server speaks plain http on this port, not TLS', otherScheme(context.endpoint));
    }
    if (spoken === 'tls') return new TransientError('TLS failed', { fewRetries: true, cause: error });
    return final('the port speaks neither TLS nor HTTP', `check host and port in ${ENDPOINT}`);
  }
}

function isSuspicious(error: unknown, { protocol }: URL, answered: boolean): boolean {
  const answer = errorAnswerOf(error);
  if (answer !== undefined) return protocol === 'http:' && isBare400(answer);
  if (protocol === 'http:') return !answered && isClosed(error);
  const reason = error instanceof Error ? tlsReason(error) : undefined;
  return reason !== undefined && tlsFailure(reason) === 'no-tls';
}

/** Go's server says so in the body, which it may reset before it is read; then the answer has no header at all. */
function isBare400(answer: ErrorAnswer): boolean {
  const bare = Object.keys(answer.headers).length === 0;
  return answer.status === 400 && !isOfS3(answer) && (bare || answer.text !== '');
}

function isClosed(error: unknown): boolean {
  return error instanceof ClosedEarly || /^(ECONNRESET|EPIPE)$/.test(systemCode(error) ?? '');
}
