// `download`: one disk of one VM, described by the environment as the operator's download pod is (design section 7).
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatamoverError, type Problem } from '../errors.ts';
import { omitUndefined } from '../omit-undefined.ts';
import { readAzureSource } from './azure-environment.ts';
import { DEFAULT_HEADROOM_PERCENT, type GcsSource, type Plan, type PlanSource, type S3Source } from './plan.ts';
import {
  addProblem,
  booleanOf,
  type Reader,
  readCaText,
  readPath,
  readVariable,
  required,
  variableName,
} from './variables.ts';

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
 * one that is missing or wrong, in quotes or between spaces, a path that is not absolute or lies in
 * the root folder.
 */
export function planFromEnvironment(env: Readonly<Record<string, string | undefined>>): DownloadRequest {
  const problems: Problem[] = [];
  const reader: Reader = { env, problems };
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

const PROVIDERS = 'aws, azure, gcp, or the name of an S3-compatible provider';

/** Any provider other than Azure's and Google's is taken for an S3-compatible one, as the operator does. Velero's plugins have longer names. */
function readSource(reader: Reader): PlanSource {
  const named = required(reader, 'BSL_PROVIDER', PROVIDERS).toLowerCase();
  const provider = named.replace(/^velero\.io\//, '');
  if (provider === 'azure') return readAzureSource(reader, credentialsFile(reader));
  if (provider === 'gcp') return readGcsSource(reader);
  return readS3Source(reader);
}

/** `BSL_SERVICE_ACCOUNT` concerns signed URLs, and the KMS key uploads: accepted, unused. */
function readGcsSource(reader: Reader): GcsSource {
  return {
    kind: 'gcs',
    bucket: required(reader, 'BSL_BUCKET', 'the bucket of the backup storage location'),
    ...omitUndefined({
      prefix: readVariable(reader, 'BSL_PREFIX'),
      credentialsFile: credentialsFile(reader),
      insecureSkipTLSVerify: booleanOf(reader, 'BSL_INSECURE_SKIP_TLS_VERIFY'),
      caPem: readCaText(reader),
    }),
  };
}

/** `BSL_SERVER_SIDE_ENCRYPTION`, `_KMS_KEY_ID` and `_CHECKSUM_ALGORITHM` concern uploads: accepted, unused. */
function readS3Source(reader: Reader): S3Source {
  const bucket = required(reader, 'BSL_BUCKET', 'the bucket of the backup storage location');
  const endpoint = readVariable(reader, 'BSL_S3_URL');
  if (endpoint !== undefined && !(/^https?:\/\/[^/]/i.test(endpoint) && URL.canParse(endpoint))) {
    addProblem(reader, 'BSL_S3_URL', 'is not an http or https URL', 'set it to a URL such as https://s3.example.com');
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
    ...omitUndefined({ caPem: readCaText(reader) }),
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
