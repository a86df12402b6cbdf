// What an HTTP answer says that is no success: status, the service's name for it, headers, and the words of its body.
import type { Answer } from '../http/exchange.ts';

export interface ErrorAnswer {
  readonly status: number;
  /** `BlobNotFound`, `NoSuchKey`…; '' when the answer names none. */
  readonly code: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The start of the body. It may quote the request, so it is never shown. */
  readonly text: string;
}

/** The name is in the XML of the body, or in the header `codeHeader`, which comes first. */
export function errorAnswerOf({ status, headers, body }: Omit<Answer, 'reason'>, codeHeader?: string): ErrorAnswer {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8');
  const inHeader = codeHeader === undefined ? undefined : headers[codeHeader];
  const named = inHeader ?? /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? '';
  return { status, headers, text, code: /^[A-Za-z0-9.]{1,64}$/.test(named) ? named : '' };
}
