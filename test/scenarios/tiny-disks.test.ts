// Disks and devices from one sector up, around every border of claim, head and edges.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import type { DiskShape } from '../../scripts/lib/make-backup/shape.ts';
import { openTarget } from '../../src/target/open.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup } from '../helpers/backup.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { restoreAndVerify } from '../helpers/restore.ts';

const STRATEGIES = ['staged', 'staged-raw', 'stream'];

/** Around a sector, the claim, one edge and both. */
const SIZES = [512, 1024, 4 * KiB - 512, 4 * KiB, 4 * KiB + 512, 8 * KiB].concat(
  [MiB, 2 * MiB].flatMap((edge) => [edge - 512, edge, edge + 512]),
);

/** One disk of each size, so that one plan restores them all. */
async function backupOfAll(t: Parameters<typeof madeBackup>[0]): Promise<BackupForTest> {
  const [first, ...others] = SIZES.map((size): DiskShape => ({ name: `disk-${size}`, size }));
  if (first === undefined) throw new Error('no sizes');
  return await madeBackup(t, { disks: [first, ...others], checkpoints: 2 });
}

test('onto devices just as large, a sector larger, and of large sectors', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await backupOfAll(t);
  const devices = [
    { extra: 0, fill: 0 },
    { extra: 512, fill: 0xff },
    { extra: 0, fill: 0xff, sectorSize: 4 * KiB },
  ];
  for (const [index, device] of devices.entries()) {
    for (const strategy of STRATEGIES) {
      await t.test(`${JSON.stringify(device)} ${strategy}`, async (t) => {
        const args = ['--strategy', strategy, ...(index === 1 ? ['--verify', 'compare'] : [])];
        await restoreAndVerify(t, made, { backup: 'backup-002', device, args });
      });
    }
  }
});

test('onto raw files', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOfAll(t);
  for (const strategy of STRATEGIES) {
    await restoreAndVerify(t, made, { backup: 'backup-002', args: ['--strategy', strategy, '--verify', 'compare'] });
  }
});

test('a claim on the smallest devices excuses the same plan, is wiped after a failure, and gives way to the disk', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const { signal } = new AbortController();
  for (const size of [512, 1024, 4 * KiB - 512]) {
    const device = loopDevice(t, { size });
    const identity = { planId: 'plan', pvc: 'rootdisk', diskSize: size };
    const target = await openTarget({ path: device.path, partialTag: 'plan', signal });
    t.teardown(async () => await target.close());
    target.checkSize(size);
    const begin = { claim: { ...identity, runId: 'run' }, diskSize: size, replace: false, signal };
    const abandoned = await target.begin(begin);
    t.equal(await target.checkBlank({ force: false, ownClaim: identity }), 'claimed', `${size}: excused`);
    await t.rejects(target.checkBlank({ force: false, ownClaim: { ...identity, pvc: 'other' } }), {
      code: 'TARGET_NOT_BLANK',
      message: /being restored by another plan/,
    });
    t.strictSame(await abandoned.abandon(), {});
    t.equal(await target.checkBlank({ force: false, ownClaim: undefined }), 'blank', `${size}: the claim is gone`);
    const disk = new Uint8Array(size).fill(7);
    const session = await target.begin(begin);
    t.equal(session.mask, undefined);
    await session.finish([disk]);
    execFileSync('blockdev', ['--flushbufs', device.path]);
    t.ok(readFileSync(device.file).equals(disk));
  }
});
