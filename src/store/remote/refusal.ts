// What a final answer means, for the rules of each store.
import type { ErrorCode } from '../../errors.ts';
import type { SourceNames } from './failure-context.ts';
import { clientCertificateHint, PROXY_HINT, PROXY_RULES_HINT } from './hints.ts';

export interface Refusal {
  readonly code: ErrorCode;
  readonly why: string;
  readonly hint: string;
}

/** What the first rule that knows the answer says; undefined where none does. */
export function firstRefusal<A, C>(
  rules: readonly ((answer: A, context: C) => Refusal | undefined)[],
  answer: A,
  context: C,
): Refusal | undefined {
  for (const rule of rules) {
    const refusal = rule(answer, context);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

export function denied(why: string, hint: string): Refusal {
  return { code: 'ACCESS_DENIED', why, hint };
}

export function unreachable(why: string, hint: string): Refusal {
  return { code: 'SOURCE_UNREACHABLE', why, hint };
}

/** What a final answer may be judged by. Lower-case header names. */
interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** A proxy that requires a login. */
export function proxyLogin({ status }: Pick<Answered, 'status'>): Refusal | undefined {
  return status === 407 ? unreachable('the proxy requires a login', PROXY_HINT) : undefined;
}

/** A server that requires a client certificate, in the words of nginx, Apache httpd and others. */
export function clientCertificate(
  { text }: Pick<Answered, 'text'>,
  names: Pick<SourceNames, 'endpoint'>,
): Refusal | undefined {
  if (!/No required SSL certificate was sent|The SSL certificate error/i.test(text)) return undefined;
  return unreachable('the server requires a client certificate', clientCertificateHint(names));
}

/** A proxy whose rules do not allow the request. */
export function proxyRules({ headers }: Pick<Answered, 'headers'>): Refusal | undefined {
  const isProxy = headers['x-squid-error'] !== undefined || /tinyproxy|squid/i.test(headers.server ?? '');
  return isProxy ? unreachable('a proxy refused the request', PROXY_RULES_HINT) : undefined;
}
