// `download`: one disk of one VM, described by the environment as the operator's download pod is (design section 7).
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { DatamoverError, type Problem } from '../errors.ts';
import { invalidNameReason } from '../object-key.ts';
import { omitUndefined } from '../omit-undefined.ts';
import { DEFAULT_HEADROOM_PERCENT, type Plan, type S3Source } from './plan.ts';

export interface DownloadRequest {
  /** Backup, VM and one PVC, whose chain is looked up. */
  readonly plan: Plan;
  /** Refuse a target that is no block device. */
  readonly requireBlockDevice: boolean;
  /** Who asked for it, for the log. */
  readonly dataDownload: { readonly name?: string; readonly uid?: string };
}

/**
 * Reads every variable; an empty one counts as unset, line breaks at the end are no part of it. USAGE with all problems at once:
 * one that is missing or wrong, in quotes or between spaces, a provider that is not S3, a path that is not absolute or lies in
 * the root folder.
 */
export function planFromEnvironment(env: Readonly<Record<string, string | undefined>>): DownloadRequest {
  const problems: Problem[] = [];
  const reader: Reader = { env, problems };
  checkProvider(reader);
  const source = readSource(reader);
  const vm = { namespace: variableName(reader, 'VM_NAMESPACE'), name: variableName(reader, 'VM_NAME') };
  const backup = variableName(reader, 'VELERO_BACKUP_NAME');
  const disk = variableName(reader, 'TARGET_VOLUME');
  const target = readPath(reader, 'TARGET_PATH', DEFAULT_TARGET);
  if (target !== undefined && dirname(target) === '/') {
    addProblem(
      reader,
      'TARGET_PATH',
      `is ${target}: the target must not be in the root directory`,
      `set it to a path such as ${DEFAULT_TARGET}`,
    );
  }
  const scratch = readPath(reader, 'SCRATCH_PATH', DEFAULT_SCRATCH);
  if (scratch === '/')
    addProblem(reader, 'SCRATCH_PATH', 'is the root directory', `set it to a path such as ${DEFAULT_SCRATCH}`);
  const requireBlockDevice = booleanOf(reader, 'TARGET_IS_BLOCK_DEVICE') ?? false;
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  const name = readVariable(reader, 'DATADOWNLOAD_NAME');
  const uid = readVariable(reader, 'DATADOWNLOAD_UID');
  return {
    plan: {
      version: 1,
      source,
      scratch: { path: scratch ?? DEFAULT_SCRATCH, headroomPercent: DEFAULT_HEADROOM_PERCENT },
      backup,
      vm,
      pvcs: [{ name: disk, target: target ?? DEFAULT_TARGET }],
    },
    requireBlockDevice,
    dataDownload: { ...(name === undefined ? {} : { name }), ...(uid === undefined ? {} : { uid }) },
  };
}

/** The operator's own defaults. */
const DEFAULT_CREDENTIALS_FILE = '/credentials/cloud';
const DEFAULT_TARGET = '/restore-data/disk.raw';
const DEFAULT_SCRATCH = '/scratch';

interface Reader {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly problems: Problem[];
}

const PREFIX = 'KUBEVIRT_DM_';

/**
 * A Secret made with `echo` and a file of variables with CR LF leave a line break at the end, which no value has. Quotes and
 * spaces around a value are refused rather than taken away: what kept them (`docker --env-file`) may have changed more.
 */
function readVariable(reader: Reader, name: string): string | undefined {
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

function addProblem({ problems }: Reader, name: string, why: string, hint: string): void {
  problems.push({ code: 'USAGE', message: `${PREFIX}${name} ${why}`, hint });
}

/** Any other provider is taken for an S3-compatible one, as the operator does. */
function checkProvider(reader: Reader): void {
  const provider = required(reader, 'BSL_PROVIDER', 'aws, or the name of an S3-compatible provider').toLowerCase();
  if (provider !== 'azure' && provider !== 'gcp') return;
  const hint =
    'copy the bucket to S3-compatible storage, or into a directory and use `restore` with `source.directory`';
  addProblem(reader, 'BSL_PROVIDER', `is ${provider}, which is not supported`, hint);
}

/** `BSL_SERVER_SIDE_ENCRYPTION`, `_KMS_KEY_ID` and `_CHECKSUM_ALGORITHM` concern uploads: accepted, unused. */
function readSource(reader: Reader): S3Source {
  const bucket = required(reader, 'BSL_BUCKET', 'the bucket of the backup storage location');
  const endpoint = readVariable(reader, 'BSL_S3_URL');
  if (endpoint !== undefined && !(/^https?:\/\/[^/]/i.test(endpoint) && URL.canParse(endpoint))) {
    addProblem(reader, 'BSL_S3_URL', 'is not an http or https URL', 'set it to a URL such as https://s3.example.com');
  }
  const caPem = readVariable(reader, 'BSL_CA_CERT');
  if (caPem !== undefined && !/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/.test(caPem)) {
    addProblem(
      reader,
      'BSL_CA_CERT',
      'is not a PEM certificate',
      'set it to the certificate text (-----BEGIN CERTIFICATE-----…), not to a file name',
    );
  }
  return {
    kind: 's3',
    bucket,
    ...omitUndefined({ credentialsFile: credentialsFile(reader) }),
    ...omitUndefined({ prefix: readVariable(reader, 'BSL_PREFIX') }),
    ...omitUndefined({ region: readVariable(reader, 'BSL_REGION') }),
    ...omitUndefined({ endpoint }),
    ...omitUndefined({ forcePathStyle: booleanOf(reader, 'BSL_S3_FORCE_PATH_STYLE') }),
    ...omitUndefined({ insecureSkipTLSVerify: booleanOf(reader, 'BSL_INSECURE_SKIP_TLS_VERIFY') }),
    ...omitUndefined({ caPem }),
    ...omitUndefined({ profile: readVariable(reader, 'BSL_PROFILE') }),
    ...omitUndefined({ sseCustomerKeyFile: readPath(reader, 'BSL_CUSTOMER_KEY_ENCRYPTION_FILE') }),
  };
}

/** Where no secret is mounted, S3's default chain finds the keys (a service account, an instance's role). */
function credentialsFile(reader: Reader): string | undefined {
  const path = readPath(reader, 'CREDENTIALS_FILE', DEFAULT_CREDENTIALS_FILE);
  // The operator sets the variable to the default, secret or not; any other path was meant, and the store says if it is missing.
  return path === DEFAULT_CREDENTIALS_FILE && !existsSync(path) ? undefined : path;
}

function required(reader: Reader, name: string, what: string): string {
  const before = reader.problems.length;
  const value = readVariable(reader, name);
  if (value === undefined && reader.problems.length === before)
    addProblem(reader, name, 'is not set', `set it to ${what}`);
  return value ?? '';
}

/** A name that becomes part of an object key. */
function variableName(reader: Reader, name: string): string {
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

function readPath(reader: Reader, name: string, fallback?: string): string | undefined {
  const value = readVariable(reader, name) ?? fallback;
  if (value === undefined) return undefined;
  if (isAbsolute(value) && !value.includes('\0')) return resolve(value);
  addProblem(reader, name, `is not an absolute path: ${JSON.stringify(value)}`, 'start it with /');
  return undefined;
}

/** What Go's strconv.ParseBool takes, which the operator reads them with; anything else would be silently false there. */
function booleanOf(reader: Reader, name: string): boolean | undefined {
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
