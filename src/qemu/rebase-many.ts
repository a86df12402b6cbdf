// `qemu-img rebase -u` of many layers, started by one small process as the checks of `check-many.ts` are.
import { parentName, REBASE, REBASE_TIMEOUT_MS, type RebaseOptions } from './rebase.ts';
import { startMany } from './run.ts';

/** From so many on one process for all costs less than it saves. */
export const MANY_REBASES = 8;

/**
 * As `rebaseUnsafe` of each layer, `limit` at a time. Which of them failed cannot be seen here, and none is reported: the caller looks at
 * the headers, and rebases by itself what is not as it must be. So xargs may be missing, or end early. Rejects when `signal` is aborted.
 */
export async function rebaseMany(
  layers: readonly Omit<RebaseOptions, 'signal'>[],
  { limit, signal }: { readonly limit: number; readonly signal: AbortSignal },
): Promise<void> {
  const child = startMany('qemu-img', REBASE, { each: 2, limit, signal, timeoutMs: REBASE_TIMEOUT_MS });
  child.stdout.resume();
  // One that ended takes no more names.
  child.stdin?.on('error', () => {});
  child.stdin?.end(layers.map((layer) => `${parentName(layer)}\0${layer.image}\0`).join(''));
  await child.ended.catch(() => undefined);
  signal.throwIfAborted();
}
