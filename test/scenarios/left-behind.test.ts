// What an interrupted run left in scratch, and what later runs of its plan make of it: a check that fails takes nothing
// away, a dry run says what the run itself will do, and what is left takes no room twice.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { runRestore } from '../helpers/restore.ts';
import { SMALL_DISK_TOOLS, smallDisk } from '../helpers/small-disk.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const BACKUP = 'backup-002';
const TOOLS = [...BACKUP_TOOLS, 'root', 'losetup', 'mkfifo', 'mount'];

async function twoDisks(t: Test): Promise<BackupForTest> {
  return await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 16 * MiB },
      { name: 'datadisk', size: 8 * MiB },
    ],
    checkpoints: 2,
  });
}

interface Stopped {
  readonly plan: string;
  readonly scratch: string;
  readonly first: ReturnType<typeof loopDevice>;
  /** The second PVC's target, a file that is not there. */
  readonly second: string;
}

/** A run that was ended by SIGTERM in the second PVC, the first one finished. */
async function stoppedInSecond(t: Test, made: BackupForTest): Promise<Stopped> {
  const folder = tempFolder(t);
  const [scratch, second] = [join(folder, 'scratch'), join(folder, 'data.img')];
  const first = loopDevice(t, { size: 16 * MiB });
  const plan = await planFor(made, BACKUP, { rootdisk: first.path, datadisk: second }, { scratch });
  const gate = gateBefore(t, '^rebase', { nth: 2 });
  const run = watchRestore(t, plan, [], { env: gate.env });
  await gate.reached();
  run.child.kill('SIGTERM');
  const { exitCode, document } = await run.end;
  t.equal(exitCode, 143);
  t.match(document?.pvcs, [{ state: 'restored' }, { state: 'failed' }]);
  return { plan, scratch, first, second };
}

test('a check that fails leaves what an earlier run left', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  const { plan, scratch, first, second } = await stoppedInSecond(t, made);
  writeFileSync(second, 'somebody else');
  const refused = await runRestore(plan);
  t.equal(refused.document.error?.code, 'TARGET_NOT_BLANK');
  t.match(refused.document.problems, [{ pvc: 'datadisk' }], 'of the PVC that was not finished, alone');
  t.equal(readdirSync(scratch).length, 1, 'its folder stays');
  rmSync(second);
  const run = await runRestore(plan);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
  t.match(run.document.pvcs, [
    { state: 'kept', bytesFetched: 0 },
    { state: 'restored', bytesFetched: 0 },
  ]);
  t.equal(await difference(first.file, truthOf(made, BACKUP, 'rootdisk')), undefined);
  t.equal(await difference(second, truthOf(made, BACKUP, 'datadisk')), undefined);
  t.strictSame(readdirSync(scratch), [], 'a run that ends well leaves nothing');
});

test('a check that fails leaves nothing where nothing was', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  const folder = tempFolder(t);
  const scratch = join(folder, 'scratch');
  const target = join(folder, 'data.img');
  writeFileSync(target, 'somebody else');
  const refused = await runRestore(await planFor(made, BACKUP, { datadisk: target }, { scratch }));
  t.equal(refused.document.error?.code, 'TARGET_NOT_BLANK');
  t.notOk(existsSync(scratch));
});

const drySchema = z.looseObject({
  result: z.string(),
  error: z.looseObject({ code: z.string() }).optional(),
  problems: z.array(z.looseObject({ code: z.string(), message: z.string() })).optional(),
  dryRun: z.object({ bytesToFetch: z.number(), scratchNeeded: z.number(), scratchFree: z.number() }).nullable(),
});

async function dryRun(plan: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const { exitCode, stdout, stderr } = await sharedCli(['restore', plan, '--dry-run', '--output', 'json', ...args], {
    env,
  });
  return { exitCode, stderr, document: drySchema.parse(JSON.parse(stdout)) };
}

/** Names and bytes of all files in a folder. */
function contentOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'latin1')]),
  );
}

test('a dry run says what the run itself will do', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  await t.test('after an interrupted one', async (t) => {
    const { plan, scratch } = await stoppedInSecond(t, made);
    const before = contentOf(scratch);
    const dry = await dryRun(plan);
    t.equal(dry.exitCode, 0, dry.document.error?.code ?? 'ends well');
    t.equal(dry.document.dryRun?.bytesToFetch, 0, 'all is fetched already');
    t.match(dry.stderr, /resuming an interrupted restore: .* already in /);
    t.match(dry.stderr, /of this plan restored it .*: it would be kept/);
    t.strictSame(contentOf(scratch), before, 'nothing is written');
    const [folder = ''] = readdirSync(scratch);
    rmSync(join(scratch, folder, '1', '01.qcow2'));
    const tip = made.checkpoints[1]?.layers.find(({ disk }) => disk === 'datadisk')?.size;
    t.equal((await dryRun(plan)).document.dryRun?.bytesToFetch, tip, 'but for a layer that is gone');
    const fresh = await dryRun(plan, ['--no-resume']);
    t.equal(fresh.document.error?.code, 'TARGET_NOT_BLANK', 'what was finished is forgotten with --no-resume');
    const run = await runRestore(plan);
    t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
    t.equal(run.document.pvcs[1]?.bytesFetched, tip);
  });
  await t.test('while a run is at work', async (t) => {
    const folder = tempFolder(t);
    const plan = await planFor(made, BACKUP, { rootdisk: join(folder, 'disk.raw') }, { scratch: join(folder, 's') });
    const gate = gateBefore(t, '^rebase');
    const run = watchRestore(t, plan, [], { env: gate.env });
    await gate.reached();
    const dry = await dryRun(plan);
    t.equal(dry.exitCode, 5);
    t.equal(dry.document.error?.code, 'SCRATCH_BUSY');
    gate.open();
    t.equal((await run.end).exitCode, 0, 'which is not disturbed');
  });
  await t.test('when scratch is no folder, or none can be made', async (t) => {
    const folder = tempFolder(t);
    const file = join(folder, 'file');
    const readOnly = join(folder, 'read-only');
    writeFileSync(file, '');
    mkdirSync(readOnly);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'kdm-test', readOnly]);
    t.teardown(() => execFileSync('umount', [readOnly]));
    const target = join(folder, 'there.raw');
    writeFileSync(target, '');
    const plan = await planFor(made, BACKUP, { rootdisk: target });
    for (const scratch of [file, join(file, 'x'), join(readOnly, 'x', 'y')]) {
      for (const args of [['--dry-run'], []]) {
        const { document } = await runRestore(plan, ['--scratch', scratch, ...args]);
        const codes = document.problems?.map(({ code }) => code);
        t.strictSame(codes, ['TARGET_NOT_BLANK', 'SCRATCH_UNUSABLE'], `${scratch} ${args.join(' ')}`);
      }
    }
  });
});

test('what an interrupted run left takes no room twice', async (t) => {
  if (!requires(t, ...TOOLS, ...SMALL_DISK_TOOLS)) return;
  const size = 16 * MiB;
  const made = await madeBackup(t, {
    disks: [{ name: 'rootdisk', size, initial: { bytes: size } }],
    checkpoints: 2,
  });
  const disk = smallDisk(t, { size: 48 * MiB });
  const target = join(disk, 'disk.img');
  const plan = await planFor(made, BACKUP, { rootdisk: target }, { scratch: disk });
  const gate = gateBefore(t, '^compare');
  const run = watchRestore(t, plan, ['--verify', 'compare'], { env: gate.env });
  await gate.reached();
  run.child.kill('SIGKILL');
  if (run.child.exitCode === null && run.child.signalCode === null) await once(run.child, 'exit');
  const { bavail, bsize } = statfsSync(disk);
  const dry = await dryRun(plan);
  const { scratchNeeded = 0, scratchFree = 0 } = dry.document.dryRun ?? {};
  t.equal(dry.exitCode, 0, dry.document.problems?.[0]?.message ?? 'there is room');
  t.ok(bavail * bsize + 17 * MiB < scratchNeeded, 'not without the file beside the target’s place');
  t.ok(scratchFree >= scratchNeeded, `${scratchFree} ≥ ${scratchNeeded}`);
  const again = await runRestore(plan);
  t.equal(again.exitCode, 0, again.document.error?.message ?? 'ends well');
  t.equal(await difference(target, truthOf(made, BACKUP, 'rootdisk')), undefined);
  t.strictSame(readdirSync(disk).sort(), ['disk.img', 'lost+found']);
});

test('what was left of PVCs that the run leaves out is neither free nor removed', async (t) => {
  if (!requires(t, ...TOOLS, ...SMALL_DISK_TOOLS)) return;
  // Zeros would leave holes.
  const shape = { size: 16 * MiB, initial: { bytes: 15 * MiB } };
  const made = await madeBackup(t, {
    disks: [
      { name: 'rootdisk', ...shape },
      { name: 'datadisk', ...shape },
    ],
    checkpoints: 2,
  });
  const disk = smallDisk(t, { size: 32 * MiB });
  const targets = tempFolder(t);
  const [first, second] = [join(targets, 'root.img'), join(targets, 'data.img')];
  const plan = await planFor(made, BACKUP, { rootdisk: first, datadisk: second }, { scratch: disk });
  const gate = gateBefore(t, '^rebase');
  const run = watchRestore(t, plan, ['--pvc', 'datadisk'], { env: gate.env });
  await gate.reached();
  run.child.kill('SIGTERM');
  t.equal((await run.end).exitCode, 143);
  const [folder = ''] = readdirSync(disk).filter((name) => name.startsWith('kubevirt-datamover-'));
  const left = join(disk, folder, '1');
  const refused = await runRestore(plan, ['--pvc', 'rootdisk']);
  t.equal(refused.document.error?.code, 'SCRATCH_FULL', 'rootdisk does not fit beside it');
  t.match(refused.document.error?.hint, `remove ${left}, which an interrupted run left of PVC datadisk`);
  t.ok(existsSync(left), 'and it is kept');
  const rest = await runRestore(plan, ['--pvc', 'datadisk']);
  t.equal(rest.exitCode, 0, rest.document.error?.message ?? 'ends well');
  t.equal(rest.document.pvcs[0]?.bytesFetched, 0);
});

test('scratchPeakBytes is of the PVC alone, not of what an earlier run left of others', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 4 * MiB, initial: { bytes: 4 * MiB }, changes: { bytes: 256 * KiB } },
      { name: 'datadisk', size: 16 * MiB },
    ],
    checkpoints: 2,
  });
  const folder = tempFolder(t);
  const targets = { rootdisk: join(folder, 'root.img'), datadisk: join(folder, 'data.img') };
  const plan = await planFor(made, BACKUP, targets, { scratch: join(folder, 'scratch') });
  const gate = gateBefore(t, '^rebase');
  const run = watchRestore(t, plan, ['--pvc', 'datadisk'], { env: gate.env });
  await gate.reached();
  run.child.kill('SIGTERM');
  t.equal((await run.end).exitCode, 143);
  const { document, exitCode } = await runRestore(plan, ['--pvc', 'rootdisk']);
  t.equal(exitCode, 0, document.error?.message ?? 'ends well');
  const { scratchPeakBytes = 0, bytesFetched = 0 } = document.pvcs[0] ?? {};
  // All of the disk is data; blanks of the layers are holes.
  t.ok(scratchPeakBytes >= 4 * MiB && scratchPeakBytes < 8 * MiB, `${scratchPeakBytes} for ${bytesFetched} fetched`);
});

test('what a run that was killed left of a finished PVC is removed', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  const { plan, scratch } = await stoppedInSecond(t, made);
  const [folder = ''] = readdirSync(scratch);
  const left = join(scratch, folder, '0');
  // As after a kill between the last flush and the removal.
  mkdirSync(left, { mode: 0o700 });
  copyFileSync(made.checkpoints[0]?.layers[0]?.path ?? '', join(left, '00.qcow2'));
  const gate = gateBefore(t, '^convert');
  const run = watchRestore(t, plan, [], { env: gate.env });
  await gate.reached();
  t.notOk(existsSync(left), 'before the next PVC takes up room');
  gate.open();
  t.equal((await run.end).exitCode, 0);
});
