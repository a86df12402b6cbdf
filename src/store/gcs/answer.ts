// What an HTTP answer says that is no success: status, the name that Google Cloud Storage has for it, headers, and the words of its body.
import type { Answer } from '../http/exchange.ts';

export interface ErrorAnswer {
  readonly status: number;
  /** `NoSuchKey`…; '' when the answer names none. */
  readonly code: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The start of the body. It may quote the request, so it is never shown. */
  readonly text: string;
}

export function errorAnswerOf({ status, headers, body }: Omit<Answer, 'reason'>): ErrorAnswer {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8');
  const named = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? '';
  return { status, headers, text, code: /^[A-Za-z0-9.]{1,64}$/.test(named) ? named : '' };
}

/** Whether Google Cloud Storage, or a server that speaks its language, answered. */
export function isOfGcs({ code, headers }: ErrorAnswer): boolean {
  return code !== '' || headers['x-guploader-uploadid'] !== undefined;
}
