// Before anything is fetched: every layer exists with the declared size, its header is safe, and each chain is whole.
import { mapBounded } from '../concurrency.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import { readHeader } from '../evidence/read-header.ts';
import { withLoss } from '../inventory/lost-layer.ts';
import { HEADER_READ_BYTES, parseHeader } from '../qcow2/header.ts';
import { validateChain, validateHeader } from '../qcow2/judge.ts';
import type { ObjectStore } from '../store/store.ts';
import { cutAtBase } from './cut-chain.ts';
import type { CheckedLayer, Disk, Layer } from './disk.ts';
import { affordableTasks } from './handles.ts';

export type { CheckedLayer } from './disk.ts';

export interface CheckedChain {
  readonly disk: Disk;
  readonly layers: readonly [CheckedLayer, ...CheckedLayer[]];
  /** The tip's virtual size, bytes: the disk's size. */
  readonly virtualSize: number;
  readonly warnings: readonly string[];
  /** Where the chain starts, when its oldest layers are lost and not needed. */
  readonly cut?: string;
}

export interface LayerCheck {
  readonly chains: readonly CheckedChain[];
  readonly problems: readonly Problem[];
}

/** Small requests at a time: they are latency, not bandwidth (a store's answer to each takes tens of ms). */
const REQUESTS = 16;

export interface CheckLayersOptions {
  /** Layers checked at a time. */
  readonly limit?: number;
  /** Also ask for the checksums that the store keeps, for readers of complete layers (default); one more request a layer. */
  readonly checksums?: boolean;
  readonly signal: AbortSignal;
}

/**
 * One small ranged read a layer, and a HEAD where its checksums are wanted. Every problem of every chain is collected; only what makes all further
 * asking pointless (SOURCE_UNREACHABLE, the signal) rejects.
 */
export async function checkLayers(
  store: ObjectStore,
  disks: readonly Disk[],
  { limit = REQUESTS, checksums = true, signal }: CheckLayersOptions,
): Promise<LayerCheck> {
  // A layer of several chains, as those of all backups of a disk share them, is asked for once.
  const places = disks.flatMap((disk) => disk.layers.map((layer, index) => ({ disk, layer, base: index === 0 })));
  const asked = [...Map.groupBy(places, askedKey).values()];
  const found = await mapBounded(asked, { limit: affordableTasks(limit), signal }, async ([place], inner) => {
    if (place === undefined) throw new TypeError('a group of no layers');
    const { layer, base } = place;
    try {
      return await checkLayer(store, layer, { base, checksums, signal: inner });
    } catch (error) {
      if (!(error instanceof DatamoverError) || error.code === 'SOURCE_UNREACHABLE' || inner.aborted) throw error;
      return { object: layer.object, problems: error.problems };
    }
  });
  const byKey = new Map(asked.map(([place], index) => [place === undefined ? '' : askedKey(place), found[index]]));
  const answerOf = (disk: Disk, layer: Layer, index: number): LayerAnswerOf[] => {
    const answer = byKey.get(askedKey({ layer, base: index === 0 }));
    if (answer === undefined) return [];
    if (!('problems' in answer)) return [{ ...answer, layer }];
    return [{ ...answer, problems: answer.problems.map((problem) => ({ pvc: disk.name, ...problem })) }];
  };
  const chains: CheckedChain[] = [];
  const problems: Problem[] = [];
  for (const disk of disks) {
    const own = disk.layers.flatMap((layer, index) => answerOf(disk, layer, index));
    const failed = own.flatMap((answer) => ('problems' in answer ? [answer] : []));
    const cut =
      failed.length === 0 ? undefined : await cutAtBase<JudgedLayer>(store, { disk, answers: own }, { signal });
    if (failed.length > 0 && cut === undefined) {
      problems.push(...(await withLoss(store, failed, { signal })));
      continue;
    }
    const sound = own.flatMap((answer) => ('problems' in answer ? [] : [answer]));
    try {
      chains.push(cut === undefined ? joinChain(disk, sound) : { ...joinChain(cut.disk, cut.layers), cut: cut.note });
    } catch (error) {
      if (!(error instanceof DatamoverError)) throw error;
      problems.push(...error.problems.map((problem) => ({ pvc: disk.name, ...problem })));
    }
  }
  return { chains, problems };
}

type JudgedLayer = CheckedLayer & { readonly warnings: readonly string[] };

type LayerAnswerOf = JudgedLayer | { readonly object: string; readonly problems: readonly Problem[] };

/** What the check of a layer depends on. */
function askedKey({ layer, base }: { readonly layer: Layer; readonly base: boolean }): string {
  return JSON.stringify([layer.object, layer.size ?? null, base]);
}

async function checkLayer(
  store: ObjectStore,
  layer: Layer,
  { base, checksums, signal }: { readonly base: boolean; readonly checksums: boolean; readonly signal: AbortSignal },
): Promise<JudgedLayer> {
  const start = checksums ? undefined : await store.start(layer.object, { length: HEADER_READ_BYTES, signal });
  const info = start?.info ?? (await store.head(layer.object, { signal }));
  const where = store.describe(layer.object);
  if (layer.size !== undefined && layer.size !== info.size) {
    throw new DatamoverError(
      'SIZE_MISMATCH',
      `${where}: size mismatch: expected ${layer.size} bytes, got ${info.size}`,
      {
        hint: 'restore from another backup, or correct the size if it was mistyped; the object was truncated, replaced or mistaken',
      },
    );
  }
  const header =
    start === undefined ? await readHeader(store, info, { where, signal }) : parseHeader(start.bytes, where);
  const warnings = validateHeader(header, { where, fileSize: info.size, base });
  return { layer, info, header, warnings };
}

function joinChain(disk: Disk, layers: readonly JudgedLayer[]): CheckedChain {
  const [base, ...rest] = layers;
  if (base === undefined) throw new TypeError(`disk ${disk.name} has no layer`);
  validateChain(layers.map(({ header, layer }) => ({ header, where: layer.object })));
  const tip = rest.at(-1) ?? base;
  return {
    disk,
    layers: [base, ...rest],
    virtualSize: tip.header.virtualSize,
    warnings: layers.flatMap((layer) => layer.warnings),
  };
}
