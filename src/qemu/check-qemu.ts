// Is there a qemu-img, and is it new enough?
import { DatamoverError } from '../errors.ts';
import { explain, runTool } from './run.ts';

/** 5.2 (2020) brought extended L2 entries and `map --start-offset`; zstd clusters came with 5.1. */
const OLDEST: readonly [number, number] = [5, 2];

/** @throws DatamoverError QEMU_MISSING when qemu-img is missing or older than 5.2. */
export async function checkQemu({ signal }: { readonly signal: AbortSignal }): Promise<{ version: string }> {
  const { stdout, stderr } = await runTool('qemu-img', ['--version'], { signal, timeoutMs: 60_000 });
  const match = /version (\d+)\.(\d+)(\.\d+)?/.exec(stdout);
  if (match === null)
    throw new DatamoverError('QEMU_MISSING', `qemu-img does not tell its version${explain(stderr)}`, { hint: HINT });
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const version = `${major}.${minor}${match[3] ?? ''}`;
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    throw new DatamoverError('QEMU_MISSING', `qemu-img is version ${version}; ${OLDEST.join('.')} or newer is needed`, {
      hint: HINT,
    });
  }
  return { version };
}

const HINT = 'install a newer one: apt-get install qemu-utils (or put it on PATH)';
