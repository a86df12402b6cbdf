// The head of an HTTP/1.1 answer, read from bytes; and the head of a request, made from its parts. Pure.
// RFC 9112: message format (2.1), header fields (5), length of the body (6.3), persistence (9.3).
import { safeNumber } from '../../units.ts';
import { TransientError } from '../retry/policy.ts';

/** An answer's head may be so long; S3's are under 2 KiB. */
export const MAX_HEAD = 32 * 1024;

/** How the end of the body is known. */
export type Framing =
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  /** By the end of the connection. */
  | { readonly kind: 'close' };

export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  /** Lower-case names; several of one name are joined by ', '. */
  readonly headers: Readonly<Record<string, string>>;
  readonly framing: Framing;
  /** Whether the connection may be used again after the body. */
  readonly keepAlive: boolean;
  /** Bytes of the head, its empty line included. */
  readonly length: number;
}

/**
 * Reads the head at the start of `bytes`; undefined when it has not come whole. Throws a `TransientError` for what is no
 * HTTP/1.1 head, and for one whose body's end would be ambiguous.
 */
export function parseResponseHead(bytes: Uint8Array): ResponseHead | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, MAX_HEAD));
  // A server that speaks something else must not be waited for.
  if (!'HTTP/1.'.startsWith(view.toString('latin1', 0, 7))) throw invalidResponse();
  const end = view.indexOf('\r\n\r\n');
  if (end === -1) {
    if (bytes.length >= MAX_HEAD) throw invalidResponse(`a head of more than ${MAX_HEAD} bytes`);
    return undefined;
  }
  const [statusLine = '', ...lines] = view.toString('latin1', 0, end).split('\r\n');
  // A line break of another kind may end the line for whoever sent it (RFC 9112, 2.2).
  if (/[\r\n]/.test(lines.join(''))) throw invalidResponse('a malformed header');
  const match = /^HTTP\/1\.([01]) (\d{3})(?: (.*))?$/.exec(statusLine);
  if (match === null) throw invalidResponse();
  const status = Number(match[2]);
  const headers = parseFields(lines);
  const framing = framingOf(status, headers);
  const connection = (headers.connection ?? '').toLowerCase();
  const keepAlive =
    framing.kind !== 'close' && (match[1] === '1' ? connection !== 'close' : connection === 'keep-alive');
  return { status, reason: match[3] ?? '', headers, framing, keepAlive, length: end + 4 };
}

export interface RequestHead {
  readonly method: string;
  /** With its query, both encoded. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The bytes of a request without a body. A header that could end its line early is refused. */
export function formatRequestHead({ method, target, headers }: RequestHead): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  if (/[\r\n\0]/.test(target + lines.join(''))) {
    throw Object.assign(new TypeError('a line break in a request header'), { code: 'ERR_INVALID_CHAR' });
  }
  return [`${method} ${target} HTTP/1.1`, ...lines, '', ''].join('\r\n');
}

/** A path and its query as SigV4 encodes them (RFC 3986: all but the unreserved characters). */
export function formatTarget(path: string, query: Readonly<Record<string, string | string[] | null>>): string {
  const parts = Object.entries(query).flatMap(([name, value]) => {
    if (value === null) return [encode(name)];
    return [value].flat().map((one) => `${encode(name)}=${encode(one)}`);
  });
  return parts.length === 0 ? path : `${path}?${parts.join('&')}`;
}

/** A key as a path, as SigV4 for S3 encodes it: its slashes stay. */
export function encodePath(key: string): string {
  return key.split('/').map(encode).join('/');
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function parseFields(lines: readonly string[]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = fieldName(line.slice(0, Math.max(0, colon)));
    const value = withoutBlanks(line, colon + 1);
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before}, ${value}`;
  }
  return headers;
}

/** Names that servers have sent, in lower case. */
const NAMES = new Map<string, string>();
const MOST_NAMES = 256;

/** In lower case. Throws for what is no name: no space before the colon, no folded lines (RFC 9112, 5.1 and 5.2). */
function fieldName(text: string): string {
  const known = NAMES.get(text);
  if (known !== undefined) return known;
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text)) throw invalidResponse('a malformed header');
  const name = text.toLowerCase();
  if (NAMES.size < MOST_NAMES) NAMES.set(text, name);
  return name;
}

/** The rest of a line from `start` on, without spaces and tabs around it. */
function withoutBlanks(line: string, start: number): string {
  let [from, to] = [start, line.length];
  while (from < to && isBlank(line.charCodeAt(from))) from += 1;
  while (to > from && isBlank(line.charCodeAt(to - 1))) to -= 1;
  return line.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

function framingOf(status: number, headers: Readonly<Record<string, string>>): Framing {
  if (status < 200 || status === 204 || status === 304) return { kind: 'length', length: 0 };
  const coding = headers['transfer-encoding'];
  const length = headers['content-length'];
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked' || length !== undefined) throw invalidResponse('a body of unknown length');
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'close' };
  const bytes = /^\d{1,18}$/.test(length) ? safeNumber(BigInt(length)) : undefined;
  if (bytes === undefined) throw invalidResponse('a body of unknown length');
  return { kind: 'length', length: bytes };
}

function invalidResponse(why = 'something other than HTTP'): TransientError {
  const hint =
    'check host and port in --endpoint (the endpoint of the source), and that the object store is running there';
  return new TransientError(`the server sent ${why}`, { fewRetries: true, hint });
}
