// What the demo restores, and a table of it for newcomers.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { formatBytes } from '../../../src/units.ts';

export const BACKUP = 'backup-004';
export const CHECKPOINT = 'cp-004';
export const DISKS = ['rootdisk', 'datadisk'] as const;
export type DiskName = (typeof DISKS)[number];

const INDEX = z.looseObject({
  checkpoints: z.array(
    z.looseObject({
      id: z.string(),
      type: z.string(),
      files: z.array(z.looseObject({ diskName: z.string(), size: z.number(), objectPath: z.string() })),
    }),
  ),
});

/** The embedded bucket in words, read from its own index. */
export async function describeBucket(bucket: string): Promise<string> {
  const { checkpoints } = await readIndex(bucket);
  const rows = checkpoints.map(({ id, type, files }, index) => {
    const sizes = files.map(({ diskName, size }) => `${diskName} ${formatBytes(size).padStart(8)}`);
    return `  backup-00${index + 1}  ${id}  ${type.padEnd(11)}  ${sizes.join('   ')}`;
  });
  return [
    'fixtures/bucket is the content of the object storage after four nightly backups of the virtual machine demo/web.',
    'Each line is a backup; each size is a layer, a qcow2 file with what changed on a disk since the line above it:',
    '',
    ...rows,
    '',
    `To have a disk as it was at ${BACKUP}, all four of its layers are needed, in this order: its chain.`,
  ].join('\n');
}

/** The object paths of a disk's layers, full first. */
export async function layersOf(bucket: string, disk: DiskName): Promise<string[]> {
  const { checkpoints } = await readIndex(bucket);
  return checkpoints.flatMap(({ files }) =>
    files.filter(({ diskName }) => diskName === disk).map(({ objectPath }) => objectPath),
  );
}

async function readIndex(bucket: string): Promise<z.infer<typeof INDEX>> {
  return INDEX.parse(JSON.parse(await readFile(join(bucket, 'checkpoints/demo/web/index.json'), 'utf8')));
}
