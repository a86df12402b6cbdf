// `--hash`: the SHA-256 of what a target holds, read back from it.
import { createHash } from 'node:crypto';
import type { CheckedChain } from '../chain/check-layers.ts';
import type { PvcStats } from '../chain/tally.ts';
import { runPhase } from '../progress.ts';
import { inChunks, readInOrder } from '../stream/copy/read-in-order.ts';
import type { Target } from '../target/target.ts';
import type { Run } from './options.ts';

/**
 * Reads all of the disk, or of the file that holds it, past the page cache where that is possible, and records the hash. Rejects as
 * `Target.reading`; nothing is written.
 */
export async function hashTarget(
  { options, signal }: Run,
  { chain, target, tally }: { readonly chain: CheckedChain; readonly target: Target; readonly tally: PvcStats },
): Promise<void> {
  const isFile = target.kind === 'file';
  const total = isFile ? ((await target.length()) ?? 0) : chain.virtualSize;
  const hash = createHash('sha256');
  const { seconds } = tally;
  await runPhase(options.progress, { pvc: chain.disk.name, phase: 'hash', total, seconds }, async (onBytes) => {
    let done = 0;
    const take = (bytes: Uint8Array): boolean => {
      hash.update(bytes);
      done += bytes.length;
      onBytes(done, total);
      return true;
    };
    await target.reading(async (io) => {
      const read = (room: Uint8Array, offset: number): Promise<void> => io.read(room, offset);
      await readInOrder({ places: inChunks({ offset: 0, length: total }), read, take, signal });
    });
  });
  tally.hash = { algorithm: 'sha256', hex: hash.digest('hex'), of: isFile ? 'file' : 'disk', bytes: total };
}
