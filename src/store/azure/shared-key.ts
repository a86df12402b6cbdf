// Shared Key signatures of GETs without a body. Pure. "Authorize with Shared Key", version 2015-02-21 and later; tests compare every
// signature with the SDK's.
import { createHmac } from 'node:crypto';

export interface SignedRequest {
  /** Path and query, encoded. */
  readonly target: string;
  /** Lower-case names; `x-ms-date` and `x-ms-version` among them. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface AccountKey {
  readonly account: string;
  readonly key: Uint8Array;
}

/** The Authorization header of a GET. */
export function signGet({ target, headers }: SignedRequest, { account, key }: AccountKey): string {
  const text = [
    'GET',
    // Content-Encoding, -Language, -Length, -MD5, -Type and Date: a GET has none of them; x-ms-date takes the place of Date.
    ...['', '', '', '', '', ''],
    headers['if-modified-since'] ?? '',
    headers['if-match'] ?? '',
    headers['if-none-match'] ?? '',
    headers['if-unmodified-since'] ?? '',
    headers.range ?? '',
    ...canonicalHeaders(headers),
    canonicalResource(target, account),
  ].join('\n');
  return `SharedKey ${account}:${createHmac('sha256', key).update(text, 'utf8').digest('base64')}`;
}

function canonicalHeaders(headers: SignedRequest['headers']): string[] {
  return Object.entries(headers)
    .filter(([name]) => name.startsWith('x-ms-'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value.trim()}`);
}

function canonicalResource(target: string, account: string): string {
  const at = target.indexOf('?');
  const path = at === -1 ? target : target.slice(0, at);
  const parameters = at === -1 ? [] : [...new URLSearchParams(target.slice(at + 1))];
  const lines = parameters
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `\n${name}:${value}`);
  return `/${account}${path}${lines.join('')}`;
}
