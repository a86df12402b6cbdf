// A chain of a test's own, seen as the strategy stream sees it: layers in a folder, served by our own NBD server.
import type { Test } from 'tap';
import { type CheckedChain, checkLayers } from '../../src/chain/check-layers.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { type ServedChain, withServedChain } from '../../src/stream/served-chain.ts';
import { type ChainShape, makeChain, type TestChain } from './chain.ts';
import { tempFolder } from './tmp.ts';

export interface CheckedTestChain {
  readonly made: TestChain;
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
}

/** Makes a chain and checks it as a restore does. */
export async function checkedChain(t: Test, shape: ChainShape): Promise<CheckedTestChain> {
  const made = makeChain(t, shape);
  const store = await openDirectoryStore({ directory: made.dir });
  const [first, ...rest] = made.layers.map((path, index) => ({
    checkpoint: `cp-${index}`,
    type: index === 0 ? ('full' as const) : ('incremental' as const),
    object: path.slice(made.dir.length + 1),
  }));
  if (first === undefined) throw new Error('a chain has a layer');
  const disk = { name: 'disk', target: '/nowhere', layers: [first, ...rest] as const };
  const signal = new AbortController().signal;
  const { chains, problems } = await checkLayers(store, [disk], { signal });
  const [chain] = chains;
  if (chain === undefined) throw new Error(problems.map(({ message }) => message).join('\n'));
  return { made, store, chain };
}

/** Serves it while `work` runs. */
export async function withChain<T>(
  t: Test,
  { store, chain }: Pick<CheckedTestChain, 'store' | 'chain'>,
  work: (served: ServedChain) => Promise<T>,
): Promise<T> {
  const signal = new AbortController().signal;
  return await withServedChain(
    { store, chain, folder: tempFolder(t), concurrency: 4, onFetched: () => {}, signal },
    work,
  );
}
