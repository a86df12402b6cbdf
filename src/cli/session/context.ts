// What a run of the program is given from outside; main.ts makes it of the process, tests make their own.
import type { Readable, Writable } from 'node:stream';
import { DatamoverError } from '../../errors.ts';
import type { CancelSignal } from '../../exit-status.ts';

/** A stream that people or scripts read; a terminal says so. */
export type TextStream = Writable & {
  readonly isTTY?: boolean;
  /** Above 0; undefined where there is no terminal, or one that does not know its size. */
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
  /** Bytes that were written so far. */
  readonly bytesTaken?: number;
  /** Written when the process exits, however that happens: what leaves a terminal as it was. */
  exitSequence?: string;
  /** What could not be written, of a stream that drops that. */
  readonly lost?: LostLines | undefined;
  /** Resolves when what was written is stored, where the stream is a file. */
  flush?(): Promise<void>;
};

export interface LostLines {
  readonly lines: number;
  /** Of the last of them. */
  readonly reason: string;
}

export interface Context {
  /** The words after the program's name. */
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Absolute; relative paths of flags start here. */
  readonly cwd: string;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  /** Results only. */
  readonly stdout: TextStream;
  /** Everything else that is said. */
  readonly stderr: TextStream;
  /** Aborted with `cancelledBy(…)` when the run has to end early. */
  readonly signal: AbortSignal;
  /** Milliseconds since 1970, never going back within a run. */
  readonly now: () => number;
}

/** The reason for aborting a run that was sent `name`; its cause is the name. */
export function cancelledBy(name: CancelSignal): DatamoverError {
  return new DatamoverError('CANCELLED', `cancelled by ${name}`, {
    cause: name,
    hint: 'run the same command again to resume',
  });
}

/** The signal that aborted a run, if it was one. */
export function cancelSignalOf(signal: AbortSignal): CancelSignal | undefined {
  if (!(signal.reason instanceof DatamoverError)) return undefined;
  const { cause } = signal.reason;
  return cause === 'SIGINT' || cause === 'SIGTERM' || cause === 'SIGHUP' ? cause : undefined;
}
