// `list` of buckets that hold more and more VMs: one made by QEMU, its folder copied under other names.
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../../../src/units.ts';
import { makeBackup } from '../make-backup/make.ts';
import { type Bench, rowOf } from './compare.ts';
import { usageEnvironment } from './contenders.ts';
import { measure, type Sample } from './measure.ts';

export interface ListResult {
  readonly points: readonly { readonly vms: number; readonly median: Sample }[];
}

/** Four disks' layers are a few KiB each: only names and documents count here. */
const DISK = { name: 'rootdisk', size: MiB, initial: { bytes: 65536 }, changes: { bytes: 65536 } };

export async function measureList(
  bench: Bench,
  { counts }: { readonly counts: readonly number[] },
): Promise<ListResult> {
  const points: { vms: number; median: Sample }[] = [];
  for (const vms of counts) {
    const bucket = join(bench.work, `list-${vms}`);
    await makeBucket(bench, bucket, vms);
    const samples: Sample[] = [];
    for (let round = 1; round <= bench.rounds; round += 1) {
      const script = `exec ${bench.program} list --source ${bucket} --output json --log-level error >${bench.work}/list.json`;
      const { work, signal } = bench;
      samples.push(
        await measure({ script, env: usageEnvironment(), folder: work, scratch: work, server: undefined, signal }),
      );
    }
    bench.say(`list ${vms}: ${rowOf('list', samples, true).median.seconds.toFixed(2)} s`);
    points.push({ vms, median: rowOf('list', samples, true).median });
  }
  return { points };
}

async function makeBucket({ work, signal }: Bench, bucket: string, vms: number): Promise<void> {
  const truth = join(work, 'list-truth');
  await makeBackup(
    { like: 'other', disks: [DISK], vm: 'vm0', checkpoints: 4 },
    { bucket, truth, keep: 'none', signal },
  );
  const checkpoints = join(bucket, 'checkpoints/demo');
  for (let number = 1; number < vms; number += 1) {
    await cp(join(checkpoints, 'vm0'), join(checkpoints, `vm${number}`), { recursive: true });
    await rename(join(checkpoints, `vm${number}/index.json`), number);
    for (const backup of await readdir(join(bucket, 'manifests'))) {
      const from = join(bucket, 'manifests', backup, 'demo-vm0.json');
      const to = join(bucket, 'manifests', backup, `demo-vm${number}.json`);
      await mkdir(join(bucket, 'manifests', backup), { recursive: true });
      await cp(from, to);
      await rename(to, number);
    }
  }
}

async function rename(path: string, number: number): Promise<void> {
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replaceAll('"vm0"', `"vm${number}"`).replaceAll('/vm0/', `/vm${number}/`));
}
