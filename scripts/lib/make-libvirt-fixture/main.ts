// The documents of scripts/make-libvirt-fixture's bucket: from a line of JSON for each layer that libvirt wrote.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { writeCatalog } from '../make-backup/catalog.ts';
import type { MadeBackup, MadeCheckpoint } from '../make-backup/shape.ts';

const LINE = z.object({
  id: z.string(),
  vmb: z.string(),
  /** Empty for a full. */
  parent: z.string(),
  time: z.iso.datetime(),
  disk: z.string(),
  size: z.number(),
});

const VM = { namespace: 'demo', vm: 'web' };

const [bucket = ''] = process.argv.slice(2);
const lines = (await text(process.stdin))
  .trim()
  .split('\n')
  .map((line) => LINE.parse(JSON.parse(line)));
const checkpoints: MadeCheckpoint[] = [];
for (const id of new Set(lines.map((line) => line.id))) {
  checkpoints.push(await checkpointOf(lines.filter((line) => line.id === id)));
}
const made: MadeBackup = { ...VM, bucket, prefix: '', directory: bucket, checkpoints };
await writeCatalog(made, { disks: [{ name: 'rootdisk', size: 0 }] });

async function checkpointOf(disks: readonly z.infer<typeof LINE>[]): Promise<MadeCheckpoint> {
  const [first] = disks;
  if (first === undefined) throw new Error('a checkpoint without a layer');
  const { id, vmb, parent, time } = first;
  const type = parent === '' ? 'full' : 'incremental';
  const layers = await Promise.all(
    disks.map(async ({ disk, size }) => {
      const object = `checkpoints/${VM.namespace}/${VM.vm}/${id}/${vmb}-${disk}.qcow2`;
      const path = join(bucket, object);
      const place = { disk, pvc: `${VM.vm}-${disk}`, checkpoint: id, type, object, path } as const;
      return { ...place, size: (await stat(path)).size, virtualSize: size, truth: '' };
    }),
  );
  const chain = [...(checkpoints.find((one) => one.id === parent)?.chain ?? []), id];
  const own = {
    backup: vmb.replace('vmb', 'backup'),
    id,
    vmBackup: vmb,
    type,
    timestamp: time,
    chain,
    layers,
  } as const;
  return parent === '' ? own : { ...own, parent };
}
