// The variables of `download`, each read once: what a value is, and what is reported of one that is wrong.
import { isAbsolute, resolve } from 'node:path';
import type { Problem } from '../errors.ts';
import { invalidNameReason } from '../object-key.ts';

export interface Reader {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly problems: Problem[];
}

const PREFIX = 'KUBEVIRT_DM_';

/**
 * A Secret made with `echo` and a file of variables with CR LF leave a line break at the end, which no value has. Quotes and
 * spaces around a value are refused rather than taken away: what kept them (`docker --env-file`) may have changed more.
 */
export function readVariable(reader: Reader, name: string): string | undefined {
  const given = reader.env[PREFIX + name] ?? '';
  const value = name === 'BSL_CA_CERT' ? given : given.replace(/[\r\n]+$/, '');
  if (value.trim() === '') return undefined;
  const why = /^(["']).*\1$/s.test(value)
    ? 'has a value in quotes'
    : AS_IT_IS.has(name) || value === value.trim()
      ? undefined
      : 'starts or ends with a space';
  if (why === undefined) return value;
  addProblem(reader, name, why, 'set it without quotes and spaces around the value');
  return undefined;
}

/** The prefix is used as it is; text that is logged or certificates may have space around them. */
const AS_IT_IS: ReadonlySet<string> = new Set(['BSL_PREFIX', 'BSL_CA_CERT', 'DATADOWNLOAD_NAME', 'DATADOWNLOAD_UID']);

export function addProblem({ problems }: Reader, name: string, why: string, hint: string): void {
  problems.push({ code: 'USAGE', message: `${PREFIX}${name} ${why}`, hint });
}

export function required(reader: Reader, name: string, what: string): string {
  const before = reader.problems.length;
  const value = readVariable(reader, name);
  if (value === undefined && reader.problems.length === before)
    addProblem(reader, name, 'is not set', `set it to ${what}`);
  return value ?? '';
}

/** A name that becomes part of an object key. */
export function variableName(reader: Reader, name: string): string {
  const value = required(reader, name, WHAT.get(name) ?? 'a name');
  const why = value === '' ? undefined : invalidNameReason(value);
  if (why !== undefined) addProblem(reader, name, `${why}: ${JSON.stringify(value)}`, `set it to ${WHAT.get(name)}`);
  return value;
}

const WHAT: ReadonlyMap<string, string> = new Map([
  ['VM_NAMESPACE', "the VM's namespace"],
  ['VM_NAME', "the VM's name"],
  ['VELERO_BACKUP_NAME', "the Velero backup's name"],
  ['TARGET_VOLUME', 'the disk to restore, by its name or its PVC'],
]);

export function readPath(reader: Reader, name: string, fallback?: string): string | undefined {
  const value = readVariable(reader, name) ?? fallback;
  if (value === undefined) return undefined;
  if (isAbsolute(value) && !value.includes('\0')) return resolve(value);
  addProblem(reader, name, `is not an absolute path: ${JSON.stringify(value)}`, 'start it with /');
  return undefined;
}

/** What Go's strconv.ParseBool takes, which the operator reads them with; anything else would be silently false there. */
export function booleanOf(reader: Reader, name: string): boolean | undefined {
  const value = readVariable(reader, name);
  if (value === undefined) return undefined;
  if (/^(?:1|t|true)$/i.test(value)) return true;
  if (/^(?:0|f|false)$/i.test(value)) return false;
  addProblem(
    reader,
    name,
    `is neither true nor false: ${JSON.stringify(value)}`,
    'set it to true or false, or unset it',
  );
  return undefined;
}

/** `BSL_CA_CERT`: the text of certificates. */
export function readCaText(reader: Reader): string | undefined {
  const caPem = readVariable(reader, 'BSL_CA_CERT');
  if (caPem !== undefined && !/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/.test(caPem)) {
    addProblem(
      reader,
      'BSL_CA_CERT',
      'is not a PEM certificate',
      'set it to the certificate text (-----BEGIN CERTIFICATE-----…), not to a file name',
    );
  }
  return caPem;
}
