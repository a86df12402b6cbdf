// What an earlier run finished is left alone while it is the same disk, of the same objects, on the same target.
import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, type PlanForOptions, truthOf } from '../helpers/backup.ts';
import { isFilled } from '../helpers/filled.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { overwriteLayer, overwrittenDisk } from '../helpers/overwrite.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { fetched, kill, stageOf } from '../helpers/stage.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

test('completed PVCs are not restored twice', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, 'root', 'losetup', 'mkfifo')) return;
  const shape = {
    disks: [
      { name: 'rootdisk', size: 16 * MiB },
      { name: 'datadisk', size: 8 * MiB },
    ],
    checkpoints: 2,
  } as const;
  const stage = await stageOf(t, shape);
  const { made, rgw, bucket, peer } = stage;
  /** Kills a run in the second PVC, on targets by names of our own; gives the names' places. */
  const killedInSecond = async (t: Test, flags: readonly string[] = []) => {
    const names = tempFolder(t);
    const [first, second] = [loopDevice(t, { size: 16 * MiB }), loopDevice(t, { size: 8 * MiB })];
    symlinkSync(first.path, join(names, 'first'));
    symlinkSync(second.path, join(names, 'second'));
    const targets = { rootdisk: join(names, 'first'), datadisk: join(names, 'second') };
    const plan = await stage.plan(targets, { scratch: join(names, 'scratch'), edit: withoutSizes });
    const gate = gateBefore(t, '^rebase', { nth: 2 });
    const run = watchRestore(t, plan, flags, { env: { ...rgw.env, ...gate.env } });
    await gate.reached();
    await kill(run);
    t.equal(await difference(first.file, truthOf(made, 'backup-002', 'rootdisk')), undefined, 'the first is whole');
    return { plan, names, first, second };
  };
  await t.test('the same disk is left alone', async (t) => {
    const { plan, first, second } = await killedInSecond(t);
    const before = { written: writesOf(first.path), flushed: flushesOf(first.path), asked: fetched(peer) };
    const run = await runRestore(plan, [], rgw.env);
    t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
    t.match(run.document.pvcs, [
      { state: 'kept', bytesFetched: 0 },
      { state: 'restored', bytesFetched: 0 },
    ]);
    t.equal(writesOf(first.path), before.written, 'nothing was written to it');
    t.ok(fetched(peer) - before.asked < MiB, 'no layer was fetched');
    t.match(run.stderr, /of this plan restored it .*: kept, not compared/);
    t.ok(flushesOf(first.path) > before.flushed, 'the run before may have died before its last flush');
    t.equal(await difference(first.file, truthOf(made, 'backup-002', 'rootdisk')), undefined);
    t.equal(await difference(second.file, truthOf(made, 'backup-002', 'datadisk')), undefined);
  });
  await t.test('another blank disk under its name is restored', async (t) => {
    const { plan, names } = await killedInSecond(t);
    const other = loopDevice(t, { size: 16 * MiB });
    swapLink(join(names, 'first'), other.path);
    const run = await runRestore(plan, [], rgw.env);
    t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
    t.equal(await difference(other.file, truthOf(made, 'backup-002', 'rootdisk')), undefined);
  });
  await t.test('another disk with data under its name is refused', async (t) => {
    const { plan, names } = await killedInSecond(t);
    const other = loopDevice(t, { size: 16 * MiB, fill: 0x5a });
    swapLink(join(names, 'first'), other.path);
    const run = await runRestore(plan, [], rgw.env);
    t.equal(run.document.error?.code, 'TARGET_NOT_BLANK');
    t.ok(isFilled(readFileSync(other.file), 0x5a), 'untouched');
  });
  await t.test('a disk that somebody has changed since is refused', async (t) => {
    const { plan, first } = await killedInSecond(t);
    execFileSync('dd', ['if=/dev/zero', `of=${first.path}`, 'bs=4096', 'count=1', 'oflag=direct', 'status=none']);
    const run = await runRestore(plan, [], rgw.env);
    t.match(run.document.error, {
      code: 'TARGET_NOT_BLANK',
      message: /of this plan restored it to .* at .*Z, and it was changed since/,
      hint: /--force/,
    });
  });
  await t.test('a disk whose beginning and end were wiped since is restored again', async (t) => {
    const { plan, first } = await killedInSecond(t);
    for (const place of ['seek=0', 'seek=15']) {
      const to = [`of=${first.path}`, place, 'bs=1M', 'count=1', 'oflag=direct', 'status=none'];
      execFileSync('dd', ['if=/dev/zero', ...to]);
    }
    const run = await runRestore(plan, [], rgw.env);
    t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
    t.match(run.document.pvcs, [{ state: 'restored' }, { state: 'restored' }]);
    t.match(run.stderr, /and it was changed since: restoring it again/);
    t.equal(await difference(first.file, truthOf(made, 'backup-002', 'rootdisk')), undefined);
  });
  await t.test('a comparison is made again, whether or not an earlier run made it', async (t) => {
    const flags = ['--verify', 'compare'];
    for (const compared of [true, false]) {
      const { plan, first } = await killedInSecond(t, compared ? flags : []);
      const before = writesOf(first.path);
      const run = await runRestore(plan, flags, rgw.env);
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
      t.match(run.document.pvcs, [
        { state: 'kept', verified: true },
        { state: 'restored', verified: true },
      ]);
      t.equal(writesOf(first.path), before, 'nothing was written to it');
      t.ok((run.document.pvcs[0]?.bytesFetched ?? 0) > 0, 'its layers are read to compare alone');
    }
  });
  await t.test('a comparison finds a flipped byte, and the disk counts as completed no more', async (t) => {
    const { plan, first } = await killedInSecond(t);
    const place = hiddenPlace(readFileSync(first.file));
    const flipped = Buffer.from([readFileSync(first.file)[place] ?? 0]);
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    execFileSync('dd', [`of=${first.path}`, 'bs=1', `seek=${place}`, 'conv=notrunc', 'status=none'], {
      input: flipped,
    });
    execFileSync('blockdev', ['--flushbufs', first.path]);
    const run = await runRestore(plan, ['--verify', 'compare'], rgw.env);
    t.equal(run.exitCode, 8);
    t.match(run.document.error, {
      code: 'VERIFY_MISMATCH',
      message: /differs from the backup at byte \d+: run .* this run did not write to it/,
    });
    const again = await runRestore(plan, [], rgw.env);
    t.equal(again.document.error?.code, 'TARGET_NOT_BLANK');
  });
  await t.test('a disk whose objects were replaced since does not count as restored', async (t) => {
    const { plan, first } = await killedInSecond(t);
    const tip = made.checkpoints[1]?.layers.find(({ disk }) => disk === 'rootdisk');
    overwriteLayer(tip?.path ?? '');
    await rgw.put(bucket, tip?.object ?? '', readFileSync(tip?.path ?? ''));
    const refused = await runRestore(plan, [], rgw.env);
    t.equal(refused.document.error?.code, 'TARGET_NOT_BLANK');
    t.match(refused.document.error?.message, /from objects that were replaced since/);
    const run = await runRestore(plan, ['--force'], rgw.env);
    t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
    const truth = overwrittenDisk(truthOf(made, 'backup-002', 'rootdisk'), made.folder);
    t.equal(await difference(first.file, truth), undefined, 'the new objects are what was restored');
  });
});

function swapLink(link: string, to: string): void {
  symlinkSync(to, `${link}.new`);
  renameSync(`${link}.new`, link);
}

/** A byte that none of the samples holds: 64 KiB of every 224 KiB here. */
function hiddenPlace(disk: Buffer): number {
  const step = (disk.length - 2 * MiB) / 64;
  return MiB + Math.floor(step * 10) + 128 * KiB;
}

/** Sectors written to a device since it is there. */
const writesOf = (device: string): number => statOf(device, 6);

/** Flushes of a device since it is there. */
const flushesOf = (device: string): number => statOf(device, 15);

/** Documentation/block/stat.rst. */
function statOf(device: string, field: number): number {
  const stat = readFileSync(`/sys/block/${device.replace('/dev/', '')}/stat`, 'utf8');
  return Number(stat.trim().split(/\s+/)[field]);
}

/** A plan that holds no sizes finds no fault in a layer that was replaced. */
const withoutSizes: NonNullable<PlanForOptions['edit']> = ({ pvcs }) => {
  for (const layer of pvcs.flatMap(({ chain }) => chain ?? [])) delete layer.size;
};
