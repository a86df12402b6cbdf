// What the system says about a target, turned into the target's codes (design section 7, exit 6).
import { DatamoverError, type ErrorCode, errnoCode } from '../errors.ts';
import { exhaustion } from '../process-limits.ts';

/**
 * The error for a system call on a target that failed: TARGET_DENIED (EACCES, EPERM, EROFS), TARGET_FULL (ENOSPC,
 * EDQUOT, EFBIG), else TARGET_WRITE_FAILED. `what` is the sentence without the reason: `cannot write /dev/sdb at
 * offset 0`. What is no system error (a bug of ours, a DatamoverError) comes back as it is.
 */
export function targetFailure(what: string, error: unknown, options: { readonly hint?: string } = {}): unknown {
  const system = errnoCode(error);
  if (system === undefined || error instanceof DatamoverError) return error;
  const code = CODES.get(system) ?? 'TARGET_WRITE_FAILED';
  const exhausted = exhaustion(error);
  const reason = exhausted?.why ?? REASONS.get(system) ?? system;
  const hint = exhausted?.hint ?? options.hint ?? HINTS[code];
  return new DatamoverError(code, `${what}: ${reason}`, { hint, cause: error });
}

/** The error, and what could not be taken back after it; what is none of ours comes back as it is. */
export function withDetail(error: unknown, problem: string | undefined): unknown {
  if (problem === undefined || !(error instanceof DatamoverError)) return error;
  const { code, message, hint } = error;
  return new DatamoverError(code, `${message}; ${problem}`, { hint, cause: error });
}

type FailureCode = Extract<ErrorCode, 'TARGET_DENIED' | 'TARGET_FULL' | 'TARGET_WRITE_FAILED'>;

const CODES: ReadonlyMap<string, FailureCode> = new Map([
  ['EACCES', 'TARGET_DENIED'],
  ['EPERM', 'TARGET_DENIED'],
  ['EROFS', 'TARGET_DENIED'],
  ['ENOSPC', 'TARGET_FULL'],
  ['EDQUOT', 'TARGET_FULL'],
  ['EFBIG', 'TARGET_FULL'],
]);

const REASONS: ReadonlyMap<string, string> = new Map([
  ['EACCES', 'permission denied'],
  ['EPERM', 'operation not permitted'],
  ['EROFS', 'read-only'],
  ['ENOSPC', 'no space left (a thin volume may be out of space underneath)'],
  ['EDQUOT', 'disk quota exceeded'],
  ['EFBIG', 'file too large for the file system'],
  ['EIO', 'input/output error'],
]);

const HINTS: Readonly<Record<FailureCode, string>> = {
  TARGET_DENIED: 'run as a user who may write the target, or make it writable',
  TARGET_FULL: 'free space on the file system of the target, or choose another target, then run again',
  TARGET_WRITE_FAILED: 'check the kernel log (`dmesg`) for errors of the device, and restore to another one',
};
