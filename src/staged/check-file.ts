// What a layer in scratch must pass before it is rebased: its checksums, its header once more, its tables.

import type { PvcStats } from '../chain/tally.ts';
import { HEADER_READ_BYTES, parseHeader } from '../qcow2/header.ts';
import { validateHeader } from '../qcow2/judge.ts';
import type { CheckImage } from '../qemu/check-many.ts';
import { readFileRange } from '../scratch/files.ts';
import { checkLayerChecksums } from './checksums.ts';
import type { StagedLayer } from './download.ts';
import { examineFile } from './examine-file.ts';
import type { StagedRun } from './options.ts';

export interface CheckStagedOptions {
  readonly pvc: string;
  /** The layer's place in its chain, 0 for the base. */
  readonly index: number;
  readonly tally: PvcStats;
  /** As that of `examineImage`. */
  readonly check?: CheckImage;
  /** Bytes just hashed. */
  readonly onHashed: (count: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Checks a whole layer that nothing has changed yet. A dirty one is not examined: that is for `examineStaged`, after its
 * repair. CHECKSUM_MISMATCH, IMAGE_CORRUPT, IMAGE_UNSAFE.
 */
export async function checkStaged(run: StagedRun, layer: StagedLayer, options: CheckStagedOptions): Promise<void> {
  const { index, tally, onHashed, signal } = options;
  const { path, checked } = layer;
  const where = run.store.describe(checked.layer.object);
  if (run.options.checksums) {
    const done = await checkLayerChecksums(layer, { where, onBytes: onHashed, signal });
    tally.checked[index]?.push(...done);
  }
  // The header again, now from the very bytes that qemu-img will open.
  const header = parseHeader(await readFileRange(path, { offset: 0, length: HEADER_READ_BYTES }), where);
  validateHeader(header, { where, fileSize: checked.info.size, base: index === 0 });
  if (!checked.header.features.dirty) await examineStaged(run, layer, options);
}

/** Looks for damage in a layer's tables; leaks are only warned about. */
export async function examineStaged(
  run: StagedRun,
  layer: StagedLayer,
  { pvc, index, tally, check, signal }: Omit<CheckStagedOptions, 'onHashed'>,
): Promise<void> {
  const where = run.store.describe(layer.checked.layer.object);
  const { state } = await examineFile(layer, { where, check, signal });
  tally.checked[index]?.push('image');
  if (state === 'clean') return;
  const message = `${where} has leaked clusters; harmless for the restore, but unexpected in a backup`;
  tally.warnings.push(message);
  run.options.progress.report({ type: 'warning', pvc, message });
}
