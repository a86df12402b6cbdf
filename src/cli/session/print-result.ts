// The result on stdout, to its last byte: a result that was not written is a failure, however well the work went.
import { setTimeout as delay } from 'node:timers/promises';
import { DatamoverError, messageOf, systemCode } from '../../errors.ts';
import type { Context, TextStream } from './context.ts';

/** After a cancel, a reader that takes nothing is waited for no longer than this. */
const PATIENCE_MS = 2_000;

/**
 * Writes `text`, and resolves to the OUTPUT_FAILED that kept a part of it from being written, or to undefined. `complete`
 * names work that is done nevertheless ("2 of 2 PVCs restored").
 */
export async function printResult(
  text: string,
  { stdout, signal }: Pick<Context, 'stdout' | 'signal'>,
  complete?: string,
): Promise<DatamoverError | undefined> {
  const before = stdout.bytesTaken ?? 0;
  const settled = new AbortController();
  try {
    await Promise.race([writeCompletely(stdout, text), rejectWhenCancelled(signal, settled.signal)]);
    return undefined;
  } catch (error) {
    const written = stdout.bytesTaken === undefined ? undefined : stdout.bytesTaken - before;
    const amount = written === undefined ? '' : ` (${written} of ${Buffer.byteLength(text)} bytes written)`;
    return outputFailed(`stdout: writing the result failed: ${messageOf(error)}${amount}`, error, complete);
  } finally {
    settled.abort();
  }
}

/** OUTPUT_FAILED; with `complete` the hint is not to do that work again. */
export function outputFailed(message: string, cause: unknown, complete?: string): DatamoverError {
  if (complete === undefined) {
    const hint = 'free space or choose another destination, then run the same command again';
    return new DatamoverError('OUTPUT_FAILED', message, { cause, hint });
  }
  return new DatamoverError('OUTPUT_FAILED', `${message}; ${complete}`, {
    cause,
    hint: 'use the restored disks, they are complete; only the result document is missing',
  });
}

/** Whether the other end of a pipe was closed, as by `| head`. */
export function isReaderGone({ cause }: DatamoverError): boolean {
  const code = systemCode(cause);
  return code === 'EPIPE' || code === 'ECONNRESET';
}

async function writeCompletely(stdout: TextStream, text: string): Promise<void> {
  if (text === '') return;
  await new Promise<void>((resolve, reject) => {
    stdout.write(text, (error) => {
      if (error) reject(stdout.errored ?? error);
      else resolve();
    });
  });
  await stdout.flush?.();
}

/** Rejects some time after a cancel, unless `settled` is aborted before. */
async function rejectWhenCancelled(cancelled: AbortSignal, settled: AbortSignal): Promise<never> {
  if (!cancelled.aborted) {
    await new Promise<void>((resolve) => {
      cancelled.addEventListener('abort', () => resolve(), { once: true, signal: settled });
    });
  }
  await delay(PATIENCE_MS, undefined, { signal: settled });
  throw new Error('not done 2 s after the run was cancelled');
}
