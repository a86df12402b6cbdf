// The exit statuses (design section 7): one table from error code to status, and what a status means to who runs it again.
import { constants } from 'node:os';
import type { ErrorCode } from './errors.ts';

export type CancelSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

export interface ExitStatus {
  readonly status: number;
  readonly meaning: string;
  /**
   * Whether the same command may succeed later without downloading everything again, so that saved progress is kept
   * (design section 8).
   */
  readonly isResumable?: true;
  /** Whether a new pod may succeed where this one failed, without a change by an operator. */
  readonly isTransient?: true;
}

export const EXIT_STATUSES = [
  { status: 0, meaning: 'done' },
  { status: 1, meaning: 'internal error (a bug; please report it)' },
  { status: 2, meaning: 'invalid command line or plan' },
  {
    status: 3,
    meaning: 'source error: missing, access denied, unreachable or changed',
    isResumable: true,
    isTransient: true,
  },
  { status: 4, meaning: 'backup error: broken chain, damaged or unsafe image' },
  { status: 5, meaning: 'scratch space error', isResumable: true },
  { status: 6, meaning: 'target error' },
  { status: 7, meaning: 'qemu-img or another tool missing, too old or failed' },
  { status: 8, meaning: 'the target differs from the backup' },
  { status: 9, meaning: 'the result could not be written (stdout, --report)' },
  { status: 130, meaning: 'cancelled by SIGINT (143: SIGTERM, 129: SIGHUP)', isResumable: true, isTransient: true },
] as const satisfies readonly ExitStatus[];

/** A code without a status does not compile. */
const STATUS_OF = {
  INTERNAL: 1,
  USAGE: 2,
  PLAN_INVALID: 2,
  LISTEN_FAILED: 2,
  OBJECT_MISSING: 3,
  BACKUP_NOT_FOUND: 3,
  ACCESS_DENIED: 3,
  SOURCE_UNREACHABLE: 3,
  OBJECT_CHANGED: 3,
  METADATA_INVALID: 4,
  CHAIN_BROKEN: 4,
  IMAGE_CORRUPT: 4,
  IMAGE_UNSAFE: 4,
  CHECKSUM_MISMATCH: 4,
  SIZE_MISMATCH: 4,
  SCRATCH_FULL: 5,
  SCRATCH_UNUSABLE: 5,
  SCRATCH_BUSY: 5,
  TARGET_MISSING: 6,
  TARGET_TOO_SMALL: 6,
  TARGET_BUSY: 6,
  TARGET_NOT_BLANK: 6,
  TARGET_DENIED: 6,
  TARGET_FULL: 6,
  TARGET_WRITE_FAILED: 6,
  TOOL_MISSING: 7,
  TOOL_FAILED: 7,
  VERIFY_MISMATCH: 8,
  OUTPUT_FAILED: 9,
  CANCELLED: 130,
} as const satisfies Readonly<Record<ErrorCode, (typeof EXIT_STATUSES)[number]['status']>>;

/** The exit status of an error; `cancelledBy` selects the signal's status. */
export function exitStatus(code: ErrorCode, cancelledBy?: CancelSignal): number {
  return code === 'CANCELLED' ? signalStatus(cancelledBy ?? 'SIGINT') : STATUS_OF[code];
}

/** 128 plus the signal's number, as shells report it. */
export function signalStatus(name: CancelSignal): number {
  return 128 + constants.signals[name];
}

/** Whether the same command may succeed later without downloading everything again. */
export function isResumable(code: ErrorCode): boolean {
  const found: ExitStatus | undefined = EXIT_STATUSES.find(({ status }) => status === STATUS_OF[code]);
  return found?.isResumable === true;
}

/** The statuses that a new pod would fail with again. */
export function permanentStatuses(): number[] {
  const statuses: readonly ExitStatus[] = EXIT_STATUSES;
  return statuses.filter(({ status, isTransient }) => status !== 0 && isTransient !== true).map(({ status }) => status);
}
