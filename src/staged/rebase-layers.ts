// The layers of a chain in scratch, each rebased onto the one before it. What a rebase rewrites is saved first.
import { basename } from 'node:path';
import { runBounded } from '../concurrency.ts';
import { runPhase } from '../progress.ts';
import { HEADER_READ_BYTES, parseHeader } from '../qcow2/header.ts';
import { checkImage } from '../qemu/check-image.ts';
import { rebaseUnsafe } from '../qemu/rebase.ts';
import { MANY_REBASES, rebaseMany } from '../qemu/rebase-many.ts';
import { readFileRange } from '../scratch/files.ts';
import type { StagedLayer } from './download.ts';
import { checkFileUnrepaired } from './examine-file.ts';
import { saveFirstCluster } from './layer-file.ts';
import type { StagedRun, StageOptions } from './options.ts';

/** At a time: each rewrites one layer's header and looks at no other, and most of its time is the journal's flush. */
const REBASES = 4;

/** The phase `rebase`. Repairs dirty layers on the way. Throws as `rebaseUnsafe` and `checkImage`. */
export async function rebaseLayers(
  run: StagedRun,
  layers: readonly StagedLayer[],
  { chain, tally }: Pick<StageOptions, 'chain' | 'tally'>,
): Promise<void> {
  const bounded = { limit: REBASES, signal: run.signal };
  await runPhase(run.options.progress, { pvc: chain.disk.name, phase: 'rebase', seconds: tally.seconds }, async () => {
    await runBounded(layers.entries(), bounded, async ([index, layer], signal) => {
      if (index > 0 || layer.checked.header.features.dirty) await saveAndRepair(run, layer, signal);
    });
    const links = layers.slice(1).map(({ path: image }, index) => ({ image, backing: layers[index]?.path ?? '' }));
    const many = links.length >= MANY_REBASES;
    if (many) await rebaseMany(links, bounded);
    await runBounded(links, bounded, async (link, signal) => {
      if (!(many && (await isRebased(link)))) await rebaseUnsafe({ ...link, signal });
    });
  });
}

async function saveAndRepair(run: StagedRun, staged: StagedLayer, signal: AbortSignal): Promise<void> {
  const { path, journal, checked } = staged;
  const { header, info, layer } = checked;
  await saveFirstCluster(path, journal, Math.min(header.clusterSize, info.size));
  if (!header.features.dirty) return;
  const where = run.store.describe(layer.object);
  await checkFileUnrepaired(staged, { where, signal });
  await checkImage({ image: path, repair: 'all', where, signal });
}

/** Whether the layer's header names its parent. One that cannot be read does not. */
async function isRebased({ image, backing }: { readonly image: string; readonly backing: string }): Promise<boolean> {
  const bytes = await readFileRange(image, { offset: 0, length: HEADER_READ_BYTES });
  try {
    const header = parseHeader(bytes, image);
    return header.backing?.name === basename(backing) && header.backingFormat === 'qcow2';
  } catch {
    return false;
  }
}
