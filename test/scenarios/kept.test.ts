// A run that was stopped after its first PVC, whose disk is then written to between the samples of the quick look: no
// later run may call that disk verified, and each way to compare or restore it again must work.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Strategy } from '../../src/strategy.ts';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { type RestoreDocument, runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { type WatchedRestore, watchRestore } from '../helpers/watched-restore.ts';

const BACKUP = 'backup-002';
const SIZE = 16 * MiB;
const TOOLS = [...BACKUP_TOOLS, 'root', 'losetup', 'mkfifo'];

type Kind = 'block' | 'file';

interface Place {
  /** As the plan names it. */
  readonly path: string;
  /** Where its bytes can be read. */
  readonly content: string;
}

interface Stopped {
  readonly plan: string;
  /** Where the run's own folder is. */
  readonly root: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly first: Place;
  readonly second: Place;
  /** The run that restored the first. */
  readonly runId: string;
  /** The time, in ISO 8601, before the run started and after it had stopped. */
  readonly between: readonly [string, string];
}

async function twoDisks(t: Test): Promise<BackupForTest> {
  return await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: SIZE },
      { name: 'datadisk', size: 8 * MiB },
    ],
    checkpoints: 2,
  });
}

/** Calls of qemu-img that each PVC makes when its layers are read. */
const CALLS: Readonly<Record<Strategy, { readonly pattern: string; readonly each: number }>> = {
  staged: { pattern: '^rebase', each: 1 },
  'staged-raw': { pattern: '^rebase', each: 1 },
  stream: { pattern: '^check', each: 2 },
};

interface StopOptions extends Pick<Stopped, 'plan' | 'args' | 'env'> {
  readonly strategy: Strategy;
  /** The call at which it stops: by default the first one of the second PVC, if the layers of both are read. */
  readonly nth?: number;
}

/** Runs the plan and sends SIGTERM in the second PVC, or at the call that is named. */
async function stopInSecond(t: Test, { plan, args, env, strategy, nth }: StopOptions) {
  const { pattern, each } = CALLS[strategy];
  const gate = gateBefore(t, pattern, { nth: nth ?? each + 1 });
  const run = watchRestore(t, plan, args, { env: { ...env, ...gate.env } });
  await gate.reachedBefore(run.end);
  run.child.kill('SIGTERM');
  return { run, ...(await run.end) };
}

async function stopped(
  t: Test,
  made: BackupForTest,
  { kind, strategy }: { readonly kind: Kind; readonly strategy: Strategy },
): Promise<Stopped> {
  const folder = tempFolder(t);
  const first = place(t, kind, join(folder, 'root.img'), SIZE);
  const second = place(t, kind, join(folder, 'data.img'), 8 * MiB);
  const scratch = join(folder, 'scratch');
  const root = strategy === 'stream' ? tempFolder(t) : scratch;
  const plan = await planFor(made, BACKUP, { rootdisk: first.path, datadisk: second.path }, { scratch });
  const args = ['--strategy', strategy];
  const env = { XDG_RUNTIME_DIR: root };
  const started = new Date().toISOString();
  const { run, exitCode, document } = await stopInSecond(t, { plan, args, env, strategy });
  t.equal(exitCode, 143);
  t.match(document?.pvcs, [{ state: 'restored', verified: false }, { state: 'failed' }]);
  t.equal(document?.pvcs[0]?.keptFrom, undefined, 'this run restored it');
  t.equal(await contentDiffers(made, first), undefined, 'the first is complete');
  return { plan, root, args, env, first, second, runId: runIdOf(run), between: [started, new Date().toISOString()] };
}

function place(t: Test, kind: Kind, path: string, size: number): Place {
  if (kind === 'file') return { path, content: path };
  const device = loopDevice(t, { size });
  return { path: device.path, content: device.file };
}

function runIdOf({ lines }: Pick<WatchedRestore, 'lines'>): string {
  return (
    lines.map(({ message = '' }) => /^run ([0-9a-f-]{36})/.exec(message)?.[1]).find((id) => id !== undefined) ?? ''
  );
}

/** Flips a bit where none of the samples is: of every 224 KiB of this disk's body they hold the first 64 KiB. */
function writeBetweenSamples({ path, content }: Place): void {
  const disk = readFileSync(content);
  const step = (disk.length - 2 * MiB) / 64;
  const offset = MiB + Math.floor(step * 10) + MiB / 8;
  execFileSync('dd', [`of=${path}`, 'bs=1', `seek=${offset}`, 'conv=notrunc', 'status=none'], {
    input: Buffer.from([(disk[offset] ?? 0) ^ 1]),
  });
  flush(path);
}

function flush(path: string): void {
  if (path.startsWith('/dev/')) execFileSync('blockdev', ['--flushbufs', path]);
}

async function contentDiffers(made: BackupForTest, { path, content }: Place, disk = 'rootdisk') {
  flush(path);
  return await difference(content, truthOf(made, BACKUP, disk));
}

async function bothRestored(t: Test, made: BackupForTest, { first, second }: Stopped): Promise<void> {
  t.equal(await contentDiffers(made, first), undefined, 'rootdisk is identical to the true disk');
  t.equal(await contentDiffers(made, second, 'datadisk'), undefined, 'datadisk is identical to the true disk');
}

/** What a result says of a PVC that the first run restored and a later one left alone. */
function isKept(t: Test, pvc: RestoreDocument['pvcs'][number] | undefined, { runId, between }: Stopped): void {
  t.match(pvc, { state: 'kept', keptFrom: { runId }, bytesFetched: 0, scratchPeakBytes: 0, verified: false });
  const { finishedAt = '' } = pvc?.keptFrom ?? {};
  t.match(finishedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.ok(between[0] <= finishedAt && finishedAt <= between[1], `${between[0]} ≤ ${finishedAt} ≤ ${between[1]}`);
  t.strictSame(Object.keys(pvc?.seconds ?? {}), ['total'], 'no phase ran for it');
  for (const { checked } of pvc?.layers ?? []) t.strictSame(checked, ['size', 'header'], 'what this run checked');
}

type Way = { readonly kind: Kind; readonly strategy: Strategy };
const BLOCK: Way = { kind: 'block', strategy: 'staged' };
const FILE: Way = { kind: 'file', strategy: 'staged' };
const STREAMED_BLOCK: Way = { kind: 'block', strategy: 'stream' };
const STREAMED_FILE: Way = { kind: 'file', strategy: 'stream' };

test('a disk that was written to between the samples is kept, and not called verified', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  for (const way of [BLOCK, FILE, STREAMED_BLOCK]) {
    await t.test(`${way.kind}, ${way.strategy}`, async (t) => {
      const stage = await stopped(t, made, way);
      const { plan, args, env, first, runId } = stage;
      writeBetweenSamples(first);
      const changed = await contentDiffers(made, first);
      t.ok(changed, 'it is no longer the true disk');

      const dry = await runRestore(plan, [...args, '--dry-run'], env);
      t.match(dry.document.pvcs, [{ state: 'planned', verified: false }, { state: 'planned' }]);
      t.match(dry.stderr, new RegExp(`rootdisk: run ${runId} of this plan restored it .*: it would be kept`));
      const dryCompare = await runRestore(plan, [...args, '--dry-run', '--verify', 'compare'], env);
      t.match(dryCompare.stderr, /it would be kept and compared with the backup/);

      const again = await stopInSecond(t, { plan, args, env, ...way, nth: 1 });
      t.equal(again.exitCode, 143);
      isKept(t, again.document?.pvcs[0], stage);
      const finished = again.run.lines.find(({ event, pvc }) => event === 'pvc-finished' && pvc === 'rootdisk');
      t.match(finished, { state: 'kept', verified: false, keptFrom: again.document?.pvcs[0]?.keptFrom });

      const last = await sharedCli(['restore', plan, ...args], { env });
      t.equal(last.exitCode, 0, last.stderr);
      t.match(last.stdout, /^rootdisk .* kept .* no$/m);
      t.match(last.stdout, /^1 of 2 PVCs restored, 1 kept in /m);
      t.match(last.stdout, new RegExp(`^rootdisk: restored by run ${runId} at .*Z, not compared by this run`, 'm'));
      t.match(last.stderr, /not compared with the backup \(--verify compare/);
      t.notMatch(last.stdout + last.stderr, /proven|looks as it was left|unchanged/i);
      t.equal(await contentDiffers(made, first), changed, 'nothing was written to it');
    });
  }
});

test('--verify compare reads all of a kept disk, whatever an earlier run compared', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  for (const way of [BLOCK, FILE, STREAMED_BLOCK]) {
    await t.test(`${way.kind}, ${way.strategy}`, async (t) => {
      const stage = await stopped(t, made, way);
      const { plan, args, env, root, first } = stage;
      const compare = [...args, '--verify', 'compare'];
      const same = await stopInSecond(t, { plan, args: compare, env, ...way });
      t.equal(same.exitCode, 143);
      t.match(same.document?.pvcs, [{ state: 'kept', verified: true, keptFrom: { runId: stage.runId } }, {}]);
      t.ok((same.document?.pvcs[0]?.bytesFetched ?? 0) > 0, 'the layers were read for it');
      t.ok(Object.keys(same.document?.pvcs[0]?.seconds ?? {}).includes('verify'));

      writeBetweenSamples(first);
      const changed = await contentDiffers(made, first);
      const run = await runRestore(plan, compare, env);
      t.equal(run.exitCode, 8);
      t.match(run.document, {
        result: 'failed',
        pvcs: [{ state: 'failed', verified: false }, { state: 'pending' }],
        error: {
          code: 'VERIFY_MISMATCH',
          message: new RegExp(
            `differs from the backup at byte \\d+: run ${stage.runId} .* this run did not write to it`,
          ),
          hint: /--force/,
        },
      });
      t.equal(await contentDiffers(made, first), changed, 'nothing was written to it');
      t.strictSame(existsSync(root) ? readdirSync(root) : [], [], 'it does not count as completed any more');
      const refused = await runRestore(plan, args, env);
      t.equal(refused.document.error?.code, 'TARGET_NOT_BLANK');
      const forced = await runRestore(plan, [...compare, '--force'], env);
      t.equal(forced.exitCode, 0, forced.document.error?.message ?? 'ends well');
      t.match(forced.document.pvcs, [
        { state: 'restored', verified: true },
        { state: 'restored', verified: true },
      ]);
      await bothRestored(t, made, stage);
    });
  }
});

test('--force restores a completed disk again', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  for (const way of [BLOCK, STREAMED_FILE]) {
    await t.test(`${way.kind}, ${way.strategy}`, async (t) => {
      const stage = await stopped(t, made, way);
      const { plan, args, env, first } = stage;
      writeBetweenSamples(first);
      const force = [...args, '--force'];
      const dry = await runRestore(plan, [...force, '--dry-run'], env);
      t.match(dry.stderr, new RegExp(`rootdisk: run ${stage.runId} .*: restoring it again \\(--force\\)`));
      const begun = await stopInSecond(t, { plan, args: force, env, ...way, nth: 1 });
      t.match(begun.document?.pvcs, [{ state: 'failed' }, { state: 'pending' }]);
      t.ok((begun.document?.pvcs[0]?.bytesFetched ?? 0) > 0, 'its layers are fetched');
      const kept = await runRestore(plan, [...args, '--dry-run'], env);
      t.match(kept.stderr, /it would be kept/, 'a forced run that stopped before it wrote to the disk changes nothing');
      const run = await runRestore(plan, force, env);
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
      t.match(run.document.pvcs, [{ state: 'restored' }, { state: 'restored' }]);
      t.equal(run.document.pvcs[0]?.keptFrom, undefined);
      await bothRestored(t, made, stage);
    });
  }
});

test('--no-resume forgets that a disk was completed: refused while it is not blank, else restored again', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  for (const way of [BLOCK, STREAMED_FILE]) {
    await t.test(`${way.kind}, ${way.strategy}`, async (t) => {
      const stage = await stopped(t, made, way);
      const { plan, args, env, first } = stage;
      writeBetweenSamples(first);
      const changed = await contentDiffers(made, first);
      const noResume = [...args, '--no-resume'];
      const refused = await runRestore(plan, noResume, env);
      t.equal(refused.exitCode, 6);
      t.match(refused.document.problems, [{ pvc: 'rootdisk', code: 'TARGET_NOT_BLANK' }]);
      t.equal(await contentDiffers(made, first), changed, 'untouched');
      const run = await runRestore(plan, [...noResume, '--force'], env);
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
      t.match(run.document.pvcs, [{ state: 'restored' }, { state: 'restored' }]);
      t.ok((run.document.pvcs[0]?.bytesFetched ?? 0) > 0);
      await bothRestored(t, made, stage);
    });
  }
});
