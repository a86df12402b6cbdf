// Brings the layers of one chain to scratch: all their missing parts in one bounded queue, so that many small layers
// are as fast as one large one; each part is recorded when its bytes are in its file. What is to be done with a layer
// that is whole is done while later ones are still being fetched.
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckedChain, CheckedLayer } from '../chain/check-layers.ts';
import { affordableTasks } from '../chain/handles.ts';
import { abortable, runBounded } from '../concurrency.ts';
import { combineCrc32 } from '../crc32-combine.ts';
import type { Journal, LayerJournal } from '../scratch/journal.ts';
import type { Part } from '../scratch/journal-state.ts';
import type { ObjectStore } from '../store/store.ts';
import { type ByteRange, MiB } from '../units.ts';
import { type BatchBuffers, FileSink, makeBatchBuffers } from './file-sink.ts';
import { emptyLayerFile, missingRanges, openLayerFile, putHeadBack, verifiedParts } from './layer-file.ts';

/** Bytes of one ranged read when nothing else is asked (facts, section 8: 16 MiB × 8 saturates one process). */
export const DEFAULT_PART_SIZE = 16 * MiB;

export interface DownloadOptions {
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
  /** Where the files go: `00.qcow2`, `01.qcow2`, … in the chain's order. */
  readonly folder: string;
  readonly journal: Journal;
  readonly concurrency: number;
  readonly partSize: number;
  /** Bytes that are in their files, believed ones included. */
  readonly onBytes: (done: number, total: number) => void;
  /** Bytes that were just fetched. */
  readonly onFetched: (count: number) => void;
  /**
   * Called for each layer as soon as its file is whole, two at a time. The download ends after the last of them, or at
   * once when one rejects.
   */
  readonly onLayerComplete?: (layer: StagedLayer, index: number, signal: AbortSignal) => Promise<void>;
  /** Every file is whole. */
  readonly onDownloadComplete?: () => void;
  readonly signal: AbortSignal;
}

/** Layers looked at while others are fetched: more would only take the cores from the fetching. */
export const POST_PROCESS_CONCURRENCY = 2;

export interface StagedLayer {
  readonly checked: CheckedLayer;
  readonly path: string;
  readonly journal: LayerJournal;
  /** CRC-32 of the whole object, joined from its parts. */
  readonly crc32: number;
}

/** Rejects as `ObjectStore.read`, or with a system error of the files, which the caller words for scratch. */
export async function downloadChain(options: DownloadOptions): Promise<readonly StagedLayer[]> {
  const opened: OpenLayer[] = [];
  try {
    for (const index of options.chain.layers.keys()) opened.push(await openLayer(options, index));
    const works = [
      (signal: AbortSignal) => fetchMissing({ ...options, signal }, opened),
      (signal: AbortSignal) => postProcess({ ...options, signal }, opened),
    ];
    const { signal } = options;
    await runBounded(works, { limit: works.length, signal }, async (work, inner) => await work(inner));
    return opened.map(stagedLayer);
  } finally {
    for (const layer of opened) await layer.handle.close();
  }
}

export function layerFileName(index: number): string {
  return `${String(index).padStart(2, '0')}.qcow2`;
}

interface OpenLayer {
  readonly checked: CheckedLayer;
  readonly path: string;
  readonly handle: FileHandle;
  readonly journal: LayerJournal;
  readonly parts: Part[];
  /** Whether what is missing of the file reads as zeros. */
  readonly readsZero: boolean;
  readonly whole: PromiseWithResolvers<void>;
}

async function openLayer({ chain, folder, journal, signal }: DownloadOptions, index: number): Promise<OpenLayer> {
  const checked = chain.layers[index];
  if (checked === undefined) throw new RangeError(`no layer ${index}`);
  const { key: object, size, etag } = checked.info;
  const path = join(folder, layerFileName(index));
  const own = await journal.layer({ disk: chain.disk.name, index, object, size, etag });
  const handle = await openLayerFile(path, size);
  try {
    await putHeadBack(path, handle, own);
    const parts = [...(await verifiedParts(handle, own, { size, signal }))];
    const readsZero = parts.length === 0;
    // An earlier run may have left other bytes there than those that come now.
    if (readsZero) await emptyLayerFile(handle, size);
    return { checked, path, handle, journal: own, parts, readsZero, whole: Promise.withResolvers() };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function fetchMissing(options: DownloadOptions, layers: readonly OpenLayer[]): Promise<void> {
  const { concurrency, partSize, onBytes, onFetched, onDownloadComplete, signal } = options;
  const total = layers.reduce((sum, layer) => sum + layer.checked.info.size, 0);
  const missing = layers.flatMap((layer) =>
    missingRanges(layer.parts, layer.checked.info.size, partSize).map((range) => ({ layer, range })),
  );
  let done = total - missing.reduce((sum, { range }) => sum + range.length, 0);
  onBytes(done, total);
  const left = new Map(layers.map((layer) => [layer, missing.filter((part) => part.layer === layer).length]));
  for (const [layer, count] of left) if (count === 0) layer.whole.resolve();
  const spare: BatchBuffers[] = [];
  await runBounded(missing, { limit: affordableTasks(concurrency), signal }, async ({ layer, range }, inner) => {
    const buffers = spare.pop() ?? makeBatchBuffers();
    const crc = await fetchPart(options.store, layer, range, buffers, inner, (count) => {
      done += count;
      onFetched(count);
      onBytes(done, total);
    });
    spare.push(buffers);
    const part = { ...range, crc };
    layer.parts.push(part);
    await layer.journal.addPart(part);
    const others = (left.get(layer) ?? 0) - 1;
    left.set(layer, others);
    if (others === 0) layer.whole.resolve();
  });
  onDownloadComplete?.();
}

async function postProcess({ onLayerComplete, signal }: DownloadOptions, layers: readonly OpenLayer[]): Promise<void> {
  if (onLayerComplete === undefined) return;
  await runBounded(layers.entries(), { limit: POST_PROCESS_CONCURRENCY, signal }, async ([index, layer], inner) => {
    await abortable(layer.whole.promise, inner);
    await onLayerComplete(stagedLayer(layer), index, inner);
  });
}

async function fetchPart(
  store: ObjectStore,
  { checked: { header, info }, handle, readsZero }: OpenLayer,
  range: ByteRange,
  buffers: BatchBuffers,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): Promise<number> {
  const sink = new FileSink({ handle, offset: range.offset, buffers, readsZero, solid: header.clusterSize, onBytes });
  try {
    await store.read(info.key, { ...range, etag: info.etag, size: info.size, signal }, sink);
  } catch (error) {
    // The file must not be closed under a write; the read's error is the one to tell.
    await sink.finish().catch(() => {});
    throw error;
  }
  return await sink.finish();
}

function stagedLayer({ checked, path, journal, parts }: OpenLayer): StagedLayer {
  const ordered = parts.toSorted((a, b) => a.offset - b.offset);
  const crc32 = ordered.reduce((crc, part) => combineCrc32(crc, part.crc, part.length), 0);
  return { checked, path, journal, crc32 };
}

/**
 * Ranged reads at a time when nothing else is asked. Object stores give a connection some 60 to 90 MB/s: 16 took 4.3 s where
 * 8 took 5.8 s at 60 MB/s each (docs/benchmarks.md); on loopback they cost nothing.
 */
export const DEFAULT_CONCURRENCY = 16;
