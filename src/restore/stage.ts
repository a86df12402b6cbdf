// The strategies with scratch: layers are fetched, checked, rebased and examined there, then shown to qemu as one disk.
import { join } from 'node:path';
import { HEADER_READ_BYTES, parseHeader } from '../qcow2/header.ts';
import { judgeHeader } from '../qcow2/judge.ts';
import { checkImage } from '../qemu/check-image.ts';
import { convert } from '../qemu/convert.ts';
import { fileNode, rawNode, rebasedChain } from '../qemu/graph.ts';
import { rebaseUnsafe } from '../qemu/rebase.ts';
import { MiB } from '../units.ts';
import type { CheckedChain } from './check-layers.ts';
import { bytesToHash, checkLayerChecksums } from './checksums.ts';
import { DEFAULT_PART_SIZE, downloadChain, type StagedLayer } from './download.ts';
import { examineImage } from './examine.ts';
import { type Guest, localGuest } from './guest.ts';
import type { Range } from './journal.ts';
import { makeSparseFile, readFileRange, saveHead } from './layer-file.ts';
import { type Run, runPhase } from './run.ts';
import { DEFAULT_CONCURRENCY } from './source.ts';
import type { Tally } from './tally.ts';
import { scratchError } from './work-folder.ts';

/** Bytes of L2 cache a layer: 1 MiB maps 8 GiB at a time; QEMU's own 32 MiB took 447 MB for 200 layers (design section 4). */
const L2_CACHE = MiB;

export interface StageOptions {
  readonly chain: CheckedChain;
  /** The PVC's folder in scratch. */
  readonly folder: string;
  readonly tally: Tally;
}

/** Rebuilds the chain in scratch and gives `work` the disk; nothing is written anywhere else. */
export async function withStagedGuest<T>(
  run: Run,
  options: StageOptions,
  work: (guest: Guest) => Promise<T>,
): Promise<T> {
  const guest = await prepare(run, options).catch((error: unknown) => {
    throw scratchError(error, options.folder);
  });
  return await work(guest);
}

async function prepare(run: Run, options: StageOptions): Promise<Guest> {
  const { chain } = options;
  const layers = await download(run, options);
  if (run.options.checksums) await checkChecksums(run, layers, options);
  await judgeFiles(run, layers);
  await rebase(run, layers, options);
  await examine(run, layers, options);
  await noteUsage(run, options);
  const tip = layers.at(-1);
  if (tip === undefined) throw new TypeError(`PVC ${chain.disk.name} has no layer`);
  const node = rebasedChain(fileNode(tip.path), { layers: layers.length, l2CacheSize: L2_CACHE });
  const staged = localGuest({ node, size: chain.virtualSize }, run);
  return run.options.strategy === 'staged-raw' ? await assemble(run, staged, options) : staged;
}

async function download(run: Run, { chain, folder, tally }: StageOptions): Promise<readonly StagedLayer[]> {
  const total = chain.layers.reduce((sum, { info }) => sum + info.size, 0);
  const { value, seconds } = await runPhase(
    run,
    { pvc: chain.disk.name, phase: 'download', total },
    async (onBytes) => {
      return await downloadChain({
        store: run.store,
        chain,
        folder,
        journal: run.folder.journal,
        concurrency: run.options.concurrency ?? DEFAULT_CONCURRENCY,
        partSize: run.options.partSize ?? DEFAULT_PART_SIZE,
        onBytes,
        onFetched: (count) => {
          tally.bytesDownloaded += count;
        },
        signal: run.signal,
      });
    },
  );
  tally.seconds.download = seconds;
  return value;
}

async function checkChecksums(run: Run, layers: readonly StagedLayer[], { chain, tally }: StageOptions): Promise<void> {
  const total = layers.reduce((sum, layer) => sum + bytesToHash(layer), 0);
  const { seconds } = await runPhase(run, { pvc: chain.disk.name, phase: 'checksum', total }, async (onBytes) => {
    let done = 0;
    for (const [index, layer] of layers.entries()) {
      const checked = await checkLayerChecksums(layer, {
        where: run.store.describe(layer.checked.layer.object),
        onBytes: (count) => {
          done += count;
          onBytes(done, total);
        },
        signal: run.signal,
      });
      tally.checked[index]?.push(...checked);
    }
  });
  tally.seconds.download += seconds;
}

/** The header again, now from the very bytes that qemu-img will open. */
async function judgeFiles(run: Run, layers: readonly StagedLayer[]): Promise<void> {
  for (const [index, { path, checked }] of layers.entries()) {
    const where = run.store.describe(checked.layer.object);
    judgeHeader(parseHeader(await readFileRange(path, { offset: 0, length: HEADER_READ_BYTES }), where), {
      where,
      fileSize: checked.info.size,
      base: index === 0,
    });
  }
}

async function rebase(run: Run, layers: readonly StagedLayer[], { chain, tally }: StageOptions): Promise<void> {
  const { seconds } = await runPhase(run, { pvc: chain.disk.name, phase: 'rebase' }, async () => {
    for (const [index, layer] of layers.entries()) {
      const parent = layers[index - 1];
      const { header, info } = layer.checked;
      if (parent === undefined && !header.features.dirty) continue;
      await saveHead(layer.path, layer.journal, Math.min(header.clusterSize, info.size));
      if (header.features.dirty) await checkImage({ image: layer.path, repair: 'all', ...about(run, layer) });
      if (parent === undefined) continue;
      await rebaseUnsafe({ image: layer.path, backing: parent.path, signal: run.signal });
    }
  });
  tally.seconds.rebase = seconds;
}

async function examine(run: Run, layers: readonly StagedLayer[], { chain, tally }: StageOptions): Promise<void> {
  const { seconds } = await runPhase(run, { pvc: chain.disk.name, phase: 'examine' }, async () => {
    for (const [index, layer] of layers.entries()) {
      const outcome = await examineFile(layer, about(run, layer));
      tally.checked[index]?.push('image');
      if (outcome === 'clean') continue;
      const message = `${run.store.describe(layer.checked.layer.object)} has leaked clusters: harmless to the restore, but no sound backup has them`;
      tally.warnings.push(message);
      run.options.progress.report({ type: 'warning', pvc: chain.disk.name, message });
    }
  });
  tally.seconds.rebase += seconds;
}

/** As `examineImage`, of a layer's file in scratch. */
export async function examineFile(
  { path, checked: { header, info } }: StagedLayer,
  { where, signal }: { readonly where: string; readonly signal: AbortSignal },
): Promise<'clean' | 'leaks'> {
  const read = async (range: Range): Promise<Uint8Array> => await readFileRange(path, range);
  return await examineImage({ image: fileNode(path), header, fileSize: info.size, where, read, signal });
}

async function assemble(run: Run, staged: Guest, options: StageOptions): Promise<Guest> {
  const { chain, folder, tally } = options;
  const path = join(folder, 'disk.raw');
  const { seconds } = await runPhase(
    run,
    { pvc: chain.disk.name, phase: 'assemble', total: staged.size },
    async (onBytes) => {
      await makeSparseFile(path, staged.size);
      await convert({
        source: staged.node,
        target: rawNode(fileNode(path)),
        cache: 'writeback',
        targetIsZero: true,
        destination: { kind: 'scratch', name: path },
        onProgress: (fraction) => onBytes(Math.round(fraction * staged.size), staged.size),
        signal: run.signal,
      });
    },
  );
  tally.seconds.convert += seconds;
  await noteUsage(run, options);
  return localGuest({ node: rawNode(fileNode(path)), size: staged.size }, run);
}

function about(run: Run, { checked }: StagedLayer): { where: string; signal: AbortSignal } {
  return { where: run.store.describe(checked.layer.object), signal: run.signal };
}

async function noteUsage(run: Run, { tally }: StageOptions): Promise<void> {
  tally.scratchPeakBytes = Math.max(tally.scratchPeakBytes, await run.folder.usage());
}
