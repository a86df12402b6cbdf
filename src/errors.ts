// The one error class of the program, and its codes. Scripts match the code, people read message and hint.
import { exhaustion } from './process-limits.ts';

/** Every code that can reach a user; `exit-status.ts` maps each to its exit status (design section 7). */
export const ERROR_CODES = [
  'INTERNAL',
  'USAGE',
  'PLAN_INVALID',
  'LISTEN_FAILED',
  'OBJECT_MISSING',
  'BACKUP_NOT_FOUND',
  'ACCESS_DENIED',
  'SOURCE_UNREACHABLE',
  'OBJECT_CHANGED',
  'METADATA_INVALID',
  'CHAIN_BROKEN',
  'IMAGE_CORRUPT',
  'IMAGE_UNSAFE',
  'CHECKSUM_MISMATCH',
  'SIZE_MISMATCH',
  'SCRATCH_FULL',
  'SCRATCH_UNUSABLE',
  'SCRATCH_BUSY',
  'TARGET_MISSING',
  'TARGET_TOO_SMALL',
  'TARGET_BUSY',
  'TARGET_NOT_BLANK',
  'TARGET_DENIED',
  'TARGET_FULL',
  'TARGET_WRITE_FAILED',
  'TOOL_MISSING',
  'TOOL_FAILED',
  'VERIFY_MISMATCH',
  'OUTPUT_FAILED',
  'CANCELLED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** One thing that is wrong, as the JSON document lists it; `pvc` is the disk's name where it concerns one PVC. */
export interface Problem {
  readonly pvc?: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export interface DatamoverErrorOptions {
  /** What to do next, in words that can be typed or followed. */
  readonly hint?: string;
  readonly cause?: unknown;
  /** The PVC (disk name) that it concerns. */
  readonly pvc?: string;
  /** All problems found together; the error itself stands for the first of them. */
  readonly problems?: readonly Problem[];
}

/**
 * The only error that reaches a user on purpose; anything else that is thrown is a bug of ours (`INTERNAL`).
 * The message says what failed, on what (key, offset, device), and why. It never holds a credential.
 */
export class DatamoverError extends Error {
  override readonly name = 'DatamoverError';
  readonly code: ErrorCode;
  readonly hint: string;
  readonly pvc: string | undefined;
  readonly problems: readonly Problem[];

  constructor(code: ErrorCode, message: string, options: DatamoverErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? '';
    this.pvc = options.pvc;
    this.problems = options.problems ?? [
      { ...(options.pvc === undefined ? {} : { pvc: options.pvc }), code, message, hint: this.hint },
    ];
  }

  /** The same error as one about a PVC; problems that name one already keep theirs. */
  about(pvc: string): DatamoverError {
    const { code, message, hint, cause } = this;
    const problems = this.problems.map((problem) => ({ pvc, ...problem }));
    return new DatamoverError(code, message, { hint, pvc: this.pvc ?? pvc, problems, cause });
  }

  /** One error for several problems; `problems` must not be empty. Code, message and hint are the first one's. */
  static fromProblems(problems: readonly Problem[], cause?: unknown): DatamoverError {
    const first = problems[0];
    if (first === undefined) throw new TypeError('fromProblems needs at least one problem');
    return new DatamoverError(first.code, first.message, {
      hint: first.hint,
      problems,
      ...(first.pvc === undefined ? {} : { pvc: first.pvc }),
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** The `code` of a Node system error (`ENOENT`, `EBUSY`…), or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * As `systemCode`, but only what the system itself said: Node's own codes (`ERR_OUT_OF_RANGE`, `ABORT_ERR`) speak of the call,
 * not of what it was made on.
 */
export function errnoCode(error: unknown): string | undefined {
  const code = systemCode(error);
  return code !== undefined && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Turns whatever was thrown into a `DatamoverError`: itself if it is one, `CANCELLED` when `signal` was aborted (the
 * signal's reason if that is a `DatamoverError`), else `INTERNAL`, which is always a bug of ours.
 */
export function toDatamoverError(error: unknown, signal?: AbortSignal): DatamoverError {
  if (error instanceof DatamoverError) return error;
  if (signal?.aborted) {
    if (signal.reason instanceof DatamoverError) return signal.reason;
    return new DatamoverError('CANCELLED', 'cancelled', { cause: error });
  }
  const exhausted = exhaustion(error);
  if (exhausted !== undefined) {
    return new DatamoverError('TOOL_FAILED', exhausted.why, { hint: exhausted.hint, cause: error });
  }
  return new DatamoverError('INTERNAL', `unexpected: ${messageOf(error)}`, {
    hint: 'this is a bug in kubevirt-datamover; please report it with the log at --log-level debug',
    cause: error,
  });
}
