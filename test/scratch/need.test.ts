import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { freeSpaceAt } from '../../src/free-space.ts';
import { minScratchNeed, scratchNeed, scratchVolumeSize } from '../../src/scratch/need.ts';
import { GiB, MiB } from '../../src/units.ts';
import { fileSystem, MOUNT_TOOLS } from '../helpers/file-system.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

test('what each strategy takes', async (t) => {
  const disk = { layerSizes: [100, 20, 30], virtualSize: 1000, headroomPercent: 0 };
  t.equal(scratchNeed({ ...disk, strategy: 'staged' }), 150);
  t.equal(scratchNeed({ ...disk, strategy: 'staged-raw' }), 1150);
  t.equal(scratchNeed({ ...disk, strategy: 'stream' }), 0);
  t.equal(scratchNeed({ ...disk, strategy: 'staged', headroomPercent: 15 }), 173, 'rounded up');
  t.equal(scratchNeed({ strategy: 'staged', layerSizes: [], virtualSize: 0, headroomPercent: 15 }), 0);
});

test('what it cannot do without', (t) => {
  const disk = { layerSizes: [100, 20, 30], virtualSize: 1000 };
  t.equal(minScratchNeed({ ...disk, strategy: 'staged' }, { sparse: true }), 150);
  t.equal(minScratchNeed({ ...disk, strategy: 'staged-raw' }, { sparse: true }), 150, 'the image may be a hole');
  t.equal(minScratchNeed({ ...disk, strategy: 'staged-raw' }, { sparse: false }), 1150);
  t.equal(minScratchNeed({ ...disk, strategy: 'stream' }, { sparse: false }), 0);
  t.end();
});

test('a scratch PVC is asked for in whole GiB', async (t) => {
  t.equal(scratchVolumeSize(0), 0);
  t.equal(scratchVolumeSize(1), GiB);
  t.equal(scratchVolumeSize(GiB), 2 * GiB);
  t.equal(scratchVolumeSize(100 * GiB), 111 * GiB);
});

test('a file system of the size that is asked for has the room that is needed', async (t) => {
  if (!requires(t, 'mkfs.ext4', 'dumpe2fs')) return;
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  const path = join(tempFolder(t), 'scratch.img');
  for (const need of [1, 700 * MiB, 785 * MiB, GiB, 10 * GiB, 200 * GiB, 1500 * GiB]) {
    const file = openSync(path, 'w');
    ftruncateSync(file, scratchVolumeSize(need));
    closeSync(file);
    execFileSync('mkfs.ext4', ['-q', '-F', path], { env });
    const said = execFileSync('dumpe2fs', ['-h', path], { env, stdio: ['ignore', 'pipe', 'ignore'] }).toString();
    const field = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)$`, 'm').exec(said)?.[1]);
    const room = (field('Free blocks') - field('Reserved block count')) * field('Block size');
    t.ok(room >= need, `${need} needed, ${room} free`);
  }
});

test('an xfs of that size has it too', async (t) => {
  if (!requires(t, ...MOUNT_TOOLS, 'mkfs.xfs')) return;
  for (const need of [700 * MiB, 785 * MiB, 10 * GiB, 200 * GiB]) {
    const { bytes = 0 } = await freeSpaceAt(
      fileSystem(t, { size: scratchVolumeSize(need), format: ['mkfs.xfs', '-q'] }),
    );
    t.ok(bytes >= need, `${need} needed, ${bytes} free`);
  }
});
