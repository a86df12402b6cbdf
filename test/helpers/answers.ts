// One answer as a file: what is known of it, an empty line, and its bytes as they came.
import { readFileSync, writeFileSync } from 'node:fs';
import type { Over } from '../../scripts/lib/answers/ask.ts';

export interface RecordedAnswer {
  /** Program and version. */
  readonly server: string;
  /** How it was provoked. */
  readonly asked: string;
  readonly over: Over;
  /** `recorded` by scripts/record-answers, or the address of the public report that it was composed from. */
  readonly source: string;
  /** Empty: the server closed the connection without a byte. */
  readonly bytes: Buffer;
}

/** Bytes that are no text are written as hexadecimal digits. */
export function writeAnswer(path: string, { server, asked, over, source, bytes }: RecordedAnswer): void {
  const text = bytes.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127));
  const lines = [`server: ${server}`, `asked: ${asked}`, `over: ${over}`, `source: ${source}`];
  if (!text) lines.push('encoding: hex');
  writeFileSync(
    path,
    `${lines.join('\n')}\n\n${text ? bytes.toString('latin1') : `${bytes.toString('hex')}\n`}`,
    'latin1',
  );
}

export function readAnswer(path: string): RecordedAnswer {
  const content = readFileSync(path, 'latin1');
  const end = content.indexOf('\n\n');
  const fields = new Map<string, string>();
  for (const line of content.slice(0, end).split('\n')) {
    const [name = '', ...value] = line.split(': ');
    fields.set(name, value.join(': '));
  }
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined || value === '') throw new Error(`${path}: no ${name}`);
    return value;
  };
  const over = field('over');
  if (over !== 'http' && over !== 'https' && over !== 'hello') throw new Error(`${path}: over ${over}`);
  const body = content.slice(end + 2);
  const bytes = fields.get('encoding') === 'hex' ? Buffer.from(body.trim(), 'hex') : Buffer.from(body, 'latin1');
  return { server: field('server'), asked: field('asked'), over, source: field('source'), bytes };
}
