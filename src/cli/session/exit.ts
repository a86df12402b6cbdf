// The exit statuses: one table from error code to status (design section 7), which the help shows too.
import { constants } from 'node:os';
import type { ErrorCode } from '../../errors.ts';
import type { CancelSignal } from './context.ts';

const STATUSES: readonly { readonly status: number; readonly meaning: string; readonly codes: readonly ErrorCode[] }[] =
  [
    { status: 0, meaning: 'done', codes: [] },
    { status: 1, meaning: 'internal error (a bug; please report it)', codes: ['INTERNAL'] },
    { status: 2, meaning: 'invalid command line or plan', codes: ['USAGE', 'PLAN_INVALID', 'LISTEN_FAILED'] },
    {
      status: 3,
      meaning: 'source error: missing, access denied, unreachable or changed',
      codes: ['OBJECT_MISSING', 'BACKUP_NOT_FOUND', 'ACCESS_DENIED', 'SOURCE_UNREACHABLE', 'OBJECT_CHANGED'],
    },
    {
      status: 4,
      meaning: 'backup error: broken chain, damaged or unsafe image',
      codes: [
        'METADATA_INVALID',
        'CHAIN_BROKEN',
        'IMAGE_CORRUPT',
        'IMAGE_UNSAFE',
        'CHECKSUM_MISMATCH',
        'SIZE_MISMATCH',
      ],
    },
    { status: 5, meaning: 'scratch space error', codes: ['SCRATCH_FULL', 'SCRATCH_UNUSABLE', 'SCRATCH_BUSY'] },
    {
      status: 6,
      meaning: 'target error',
      codes: [
        'TARGET_MISSING',
        'TARGET_TOO_SMALL',
        'TARGET_BUSY',
        'TARGET_NOT_BLANK',
        'TARGET_DENIED',
        'TARGET_FULL',
        'TARGET_WRITE_FAILED',
      ],
    },
    {
      status: 7,
      meaning: 'qemu-img or another tool missing, too old or failed',
      codes: ['TOOL_MISSING', 'TOOL_FAILED'],
    },
    { status: 8, meaning: 'the target differs from the backup', codes: ['VERIFY_MISMATCH'] },
    { status: 9, meaning: 'the result could not be written (stdout, --report)', codes: ['OUTPUT_FAILED'] },
    { status: 130, meaning: 'cancelled by SIGINT (143: SIGTERM, 129: SIGHUP)', codes: ['CANCELLED'] },
  ];

const STATUS_OF = new Map(STATUSES.flatMap(({ status, codes }) => codes.map((code) => [code, status] as const)));

/** The exit status of an error; `cancelledBy` selects the signal's status. */
export function exitStatus(code: ErrorCode, cancelledBy?: CancelSignal): number {
  if (code === 'CANCELLED') return signalStatus(cancelledBy ?? 'SIGINT');
  return STATUS_OF.get(code) ?? 1;
}

/** 128 plus the signal's number, as shells say it. */
export function signalStatus(name: CancelSignal): number {
  return 128 + constants.signals[name];
}

/** The table as `--help` shows it. */
export function exitStatusHelp(): string {
  const lines = STATUSES.map(({ status, meaning }) => `  ${String(status).padStart(3)}  ${meaning}`);
  return ['Exit status:', ...lines].join('\n');
}
