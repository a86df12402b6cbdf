// A chain whose older layers are lost may start at a newer one: where its own tables prove that it needs no parent.
import type { DatamoverError, Problem } from '../errors.ts';
import { evidenceOfTables } from '../evidence/tables.ts';
import type { ObjectStore } from '../store/store.ts';
import type { CheckedLayer, Disk } from './disk.ts';

/** What was found of each layer of a chain, in its order. */
export type LayerAnswer<Checked extends CheckedLayer> = Checked | { readonly problems: readonly Problem[] };

export interface CutChain<Checked extends CheckedLayer> {
  readonly disk: Disk;
  readonly layers: readonly Checked[];
  /** Says where the chain starts, and why. */
  readonly note: string;
}

/**
 * The chain from the newest layer that is proven to need no parent, when all problems are of older layers that are lost; undefined
 * when there is none. Reads the tables of the layers above the newest lost one, newest first, until one is proven.
 * Rejects as `ObjectStore.read`.
 */
export async function cutAtBase<Checked extends CheckedLayer>(
  store: ObjectStore,
  { disk, answers }: { readonly disk: Disk; readonly answers: readonly LayerAnswer<Checked>[] },
  { signal }: { readonly signal: AbortSignal },
): Promise<CutChain<Checked> | undefined> {
  const problems = answers.flatMap((answer) => ('problems' in answer ? answer.problems : []));
  if (problems.length === 0 || problems.some(({ code }) => !LOST.has(code))) return undefined;
  const lowest = answers.findLastIndex((answer) => 'problems' in answer) + 1;
  for (let place = answers.length - 1; place >= lowest; place -= 1) {
    const answer = answers[place];
    if (answer === undefined || 'problems' in answer) continue;
    const { complete } = await evidenceOfTables(store, answer, { signal });
    if (complete) return cutAt(disk, { answers, place, problems });
  }
  return undefined;
}

const LOST: ReadonlySet<DatamoverError['code']> = new Set(['OBJECT_MISSING', 'SIZE_MISMATCH', 'IMAGE_CORRUPT']);

function cutAt<Checked extends CheckedLayer>(
  disk: Disk,
  {
    answers,
    place,
    problems,
  }: {
    readonly answers: readonly LayerAnswer<Checked>[];
    readonly place: number;
    readonly problems: readonly Problem[];
  },
): CutChain<Checked> | undefined {
  const [base, ...rest] = disk.layers.slice(place);
  if (base === undefined) return undefined;
  const layers = answers
    .slice(place)
    .filter((answer): answer is Checked => !('problems' in answer))
    .map((answer, index): Checked => (index === 0 ? { ...answer, layer: { ...answer.layer, type: 'full' } } : answer));
  const origin = {
    ...(disk.origin ?? { order: 'manifest' as const }),
    base: { checkpoint: base.checkpoint, proof: 'tables' as const },
  };
  const note =
    `the chain starts at checkpoint ${base.checkpoint}: the tables of its layer leave nothing to a parent; ` +
    `${place} older layers are not needed, of which some cannot be used: ${problems[0]?.message}`;
  return { disk: { ...disk, layers: [{ ...base, type: 'full' }, ...rest], origin }, layers, note };
}
