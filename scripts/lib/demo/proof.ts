// Proves a restored disk with tools that are not ours: sha256sum, and cmp against the chain rebuilt by qemu-img alone.
import { copyFile, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '../run-tool.ts';
import { CHECKPOINT, type DiskName, layersOf } from './bucket.ts';

export interface ProofOptions {
  readonly disk: DiskName;
  /** Where it was restored to. */
  readonly target: string;
  /** The bucket folder; the true disks' sums lie beside it. */
  readonly bucket: string;
  /** For the copy that is rebuilt. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** The proof in words; rejects when anything differs. */
export async function proveIdentical(options: ProofOptions): Promise<string> {
  const { disk, target, bucket, signal } = options;
  const sums = await readFile(join(bucket, '../SHA256SUMS'), 'utf8');
  const wanted = sums
    .split('\n')
    .find((line) => line.endsWith(`  ${CHECKPOINT}/${disk}.raw`))
    ?.slice(0, 64);
  const { stdout } = await runTool('sha256sum', ['--', target], { signal });
  const found = stdout.slice(0, 64);
  if (wanted === undefined || found !== wanted) throw new Error(`${target}: sha256 ${found}, true disk ${wanted}`);
  const rebuilt = await rebuild(options);
  await runTool('cmp', ['-n', String((await stat(rebuilt)).size), '--', target, rebuilt], { signal });
  await rm(rebuilt);
  return [
    disk,
    `  sha256sum of the target:          ${found}`,
    `  of the true disk, at the backup:  ${wanted}`,
    '  cmp with the chain rebuilt manually (qemu-img rebase -u, convert): no difference',
    '  identical',
  ].join('\n');
}

/** As docs/format.md does it by hand: every layer onto the one before, then the last one to raw. */
async function rebuild({ disk, bucket, folder, signal }: ProofOptions): Promise<string> {
  const hand = join(folder, `by-hand-${disk}`);
  await mkdir(hand);
  const layers = await layersOf(bucket, disk);
  for (const [index, layer] of layers.entries()) {
    await copyFile(join(bucket, layer), join(hand, `${index}.qcow2`));
    if (index === 0) continue;
    const rebase = ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', `${index - 1}.qcow2`, `${index}.qcow2`];
    await runTool('qemu-img', rebase, { signal, cwd: hand });
  }
  const convert = ['convert', '-f', 'qcow2', '-O', 'raw', `${layers.length - 1}.qcow2`, 'disk.raw'];
  await runTool('qemu-img', convert, { signal, cwd: hand });
  return join(hand, 'disk.raw');
}
