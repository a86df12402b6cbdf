// Velero's credentials file for Azure: lines of NAME=value, read as the operator reads them (Go's godotenv).
import { DatamoverError } from '../../errors.ts';
import { readNamedFile } from '../remote/named-file.ts';

/** The variables of the file. PLAN_INVALID with `FILE:LINE` for what is no such file; values are never quoted. */
export async function readCredentialsFile(file: string): Promise<ReadonlyMap<string, string>> {
  const bytes = await readNamedFile(file, 'credentials file');
  return parseCredentialsFile(bytes.toString('utf8'), file);
}

export function parseCredentialsFile(text: string, file: string): ReadonlyMap<string, string> {
  const content = text
    .replace(/^\uFEFF/, '')
    .replaceAll('\r\n', '\n')
    .replaceAll('\r', '\n');
  const refuse = (line: number, why: string, hint: string = FORM): never => {
    throw new DatamoverError('PLAN_INVALID', `${file}:${line}: ${why}`, { hint });
  };
  const other = otherCloud(content);
  if (other !== undefined) refuse(1, `credentials file of ${other}, not of Azure`, OTHER_CLOUD);
  if (/[\0\uFFFD]/.test(content)) refuse(1, 'credentials file is not UTF-8 text');
  const values = new Map<string, string>();
  for (const { name, raw, line } of assignmentsOf(content, refuse)) {
    values.set(
      name,
      evaluate(raw, values, (why, hint) => refuse(line, `${name}: ${why}`, hint)),
    );
  }
  if (values.size === 0) refuse(1, 'no variable found in the credentials file');
  return values;
}

const FORM =
  'write one NAME=value per line, such as AZURE_STORAGE_ACCOUNT_ACCESS_KEY=…; docs/credentials.md has all names';
const OTHER_CLOUD = 'name the Secret or file with AZURE_… variables, or use the source of the cloud that it belongs to';

function otherCloud(content: string): string | undefined {
  if (/^\s*\{[\s\S]*"type"\s*:/.test(content)) return 'Google Cloud';
  if (/^\s*aws_(?:access_key_id|secret_access_key)\s*[=:]/im.test(content)) return 'AWS';
  return undefined;
}

interface Assignment {
  readonly name: string;
  /** Behind the `=`, with its quotes. */
  readonly raw: string;
  readonly line: number;
}

/** A value in quotes may have several lines: a certificate. */
function* assignmentsOf(content: string, refuse: (line: number, why: string) => never): Generator<Assignment> {
  const pattern =
    /[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.]*)[ \t]*[=:][ \t]*('[^']*'|"(?:[^"\\]|\\[\s\S])*"|[^\n]*)[^\n]*(?:\n|$)/y;
  const blank = /[ \t]*(?:#[^\n]*)?(?:\n|$)/y;
  for (let at = 0; at < content.length; ) {
    blank.lastIndex = at;
    if (blank.test(content)) {
      at = blank.lastIndex;
      continue;
    }
    const line = content.slice(0, at).split('\n').length;
    pattern.lastIndex = at;
    const [, name, raw = ''] = pattern.exec(content) ?? [];
    if (name === undefined) return refuse(line, 'expected NAME=value');
    if (/^["'][^\n]*$/.test(raw) && !/^(["'])[\s\S]*\1$/.test(raw)) return refuse(line, `${name}: quote is not closed`);
    yield { name, raw, line };
    at = pattern.lastIndex;
  }
}

function evaluate(
  raw: string,
  known: ReadonlyMap<string, string>,
  refuse: (why: string, hint: string) => never,
): string {
  if (raw.startsWith("'")) return raw.slice(1, -1);
  const quoted = raw.startsWith('"');
  // A comment starts at a # behind a space.
  const plain = quoted ? raw.slice(1, -1) : raw.replace(/(?:^|\s)#.*$/, '').trimEnd();
  const unescaped = quoted ? plain.replace(/\\([nr"\\])/g, (_, char: string) => ESCAPES[char] ?? char) : plain;
  return unescaped.replace(/\\?\$(?:\{([A-Z0-9_]+)\}|([A-Z0-9_]+))/g, (all, braced, bare) => {
    if (all.startsWith('\\')) return all.slice(1);
    const value = known.get(braced ?? bare);
    // There it would be empty without a word.
    return (
      value ?? refuse('uses a $ that names no variable', 'put the value in single quotes, which keep a $ as it is')
    );
  });
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', '"': '"', '\\': '\\' };
