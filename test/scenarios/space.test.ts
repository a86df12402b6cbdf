// Space: what cannot fit is refused before anything is fetched, what may be tight is warned of, and what fits is restored. The
// file systems are real ones.
import { execFileSync } from 'node:child_process';
import { appendFileSync, readdirSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { stringify } from 'yaml';
import { z } from 'zod';
import { KiB, MiB, TiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  type PlanDocument,
  planFor,
  truthOf,
} from '../helpers/backup.ts';
import { makeChain, type TestChain } from '../helpers/chain.ts';
import { command } from '../helpers/command.ts';
import { fileSystem, MOUNT_TOOLS, mounted } from '../helpers/file-system.ts';
import { gateBefore } from '../helpers/gate.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { parseDocument, type RestoreRun, runRestore } from '../helpers/restore.ts';
import { cleanEnvironment, programPath } from '../helpers/run-cli.ts';
import { SMALL_DISK_TOOLS, smallDisk } from '../helpers/small-disk.ts';
import { kill } from '../helpers/stage.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const STRATEGIES = ['staged', 'staged-raw', 'stream'] as const;
const CHAIN_TOOLS = ['qemu-img', 'qemu-io', 'setpriv'] as const;

/** A plan for a chain of `makeChain`, onto `target`, or onto each of several by the name of the PVC. */
function planOf(
  { dir, layers }: TestChain,
  target: string | Readonly<Record<string, string>>,
  scratch: string,
): string {
  const chain = layers.map((path, index) => ({
    checkpoint: `cp-${index}`,
    type: index === 0 ? 'full' : 'incremental',
    object: path.slice(dir.length + 1),
    size: statSync(path).size,
  }));
  const targets = typeof target === 'string' ? { root: target } : target;
  const path = join(dir, `plan-${crypto.randomUUID().slice(0, 8)}.yaml`);
  const document = {
    version: 1,
    source: { directory: dir },
    scratch: { path: scratch },
    pvcs: Object.entries(targets).map(([name, path]) => ({ name, target: path, chain })),
  };
  writeFileSync(path, stringify(document));
  return path;
}

/** `qemu-img compare`, which passes over holes: a TiB takes no time. */
function isIdentical(target: string, { truth }: TestChain): boolean {
  execFileSync('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', target, truth], { stdio: 'ignore' });
  return statSync(target).size === statSync(truth).size;
}

function warningsOf({ stderr }: Pick<RestoreRun, 'stderr'>): string[] {
  return stderr.split('\n').filter((line) => /warning|may become full/i.test(line));
}

function fillUp(folder: string, left = 0): void {
  const ballast = join(folder, 'ballast');
  for (const piece of [MiB, 64 * KiB, KiB, 1]) {
    try {
      while (left === 0 || freeIn(folder) >= left + piece) appendFileSync(ballast, Buffer.alloc(piece, 1));
    } catch {
      // Full: that is what is wanted.
    }
  }
}

function freeIn(folder: string): number {
  const { bfree, bsize } = statfsSync(folder);
  return bfree * bsize;
}

test('a thin disk of a TiB with 3 MiB of data fits on a small file system, by every strategy', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...SMALL_DISK_TOOLS)) return;
  const chain = makeChain(t, { size: TiB, unit: MiB, layers: ['AB---', '-C0-D'] });
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const disk = smallDisk(t, { size: 64 * MiB });
      const target = join(disk, 'disk.raw');
      const run = await runRestore(planOf(chain, target, join(disk, 'scratch')), ['--strategy', strategy]);
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
      t.strictSame(warningsOf(run), [], 'and without a warning, since the chain shows how little it is');
      t.ok(isIdentical(target, chain));
      t.ok(statSync(target).blocks * 512 < 4 * MiB, 'sparse');
    });
  }
});

test('a full whose blanks are stored as data needs no more space than what is not blank', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...SMALL_DISK_TOOLS)) return;
  // As KubeVirt's first backup of a disk: every cluster is stored, most of them zeros.
  const chain = makeChain(t, { unit: MiB, layers: [`AB${'\0'.repeat(60)}CD`] });
  t.ok(statSync(chain.layers[0] ?? '').size >= chain.size, 'dense');
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const disk = smallDisk(t, { size: 24 * MiB });
      const target = join(disk, 'disk.raw');
      const scratch = join(tempFolder(t), 'scratch');
      const run = await runRestore(planOf(chain, target, scratch), ['--strategy', strategy]);
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
      t.match(
        run.stderr,
        `up to 64.0 MiB (${64 * MiB} bytes) needed, `,
        'how much of it is blank is not known beforehand',
      );
      t.ok(isIdentical(target, chain));
    });
  }
});

test('data that does not fit: warned of with both numbers, and TARGET_FULL with what was needed', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...SMALL_DISK_TOOLS)) return;
  const chain = makeChain(t, { size: 64 * MiB, unit: MiB, layers: ['ABCDEFGHIJKLMNOPQRSTUVWX', '--YZ'] });
  const disk = smallDisk(t, { size: 16 * MiB });
  const target = join(disk, 'disk.raw');
  for (const strategy of STRATEGIES) {
    const plan = planOf(chain, target, join(tempFolder(t), 'scratch'));
    const run = await runRestore(plan, ['--strategy', strategy]);
    t.equal(run.document.error?.code, 'TARGET_FULL', `${strategy}: ${run.document.error?.message}`);
    const needed = `up to 24\\.0 MiB \\(${24 * MiB} bytes\\) needed`;
    t.match(run.stderr, new RegExp(`may become full: ${needed}, .* available`));
    t.match(run.document.error?.message, new RegExp(`${needed}; .* available at the check, .* now$`));
    t.strictSame(readdirSync(disk), ['lost+found']);
  }
});

const drySchema = z.looseObject({
  dryRun: z.object({ bytesToFetch: z.number(), scratchNeeded: z.number(), scratchFree: z.number().nullable() }),
});

test('where the file system does not report its free space, that is a note', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...MOUNT_TOOLS)) return;
  const chain = makeChain(t, { unit: MiB, layers: ['AB-D', '-C'] });
  const bytes = chain.layers.reduce((sum, path) => sum + statSync(path).size, 0);
  for (const [type, options] of [
    ['ramfs', 'mode=755'],
    ['tmpfs', 'size=0'],
  ] as const) {
    await t.test(`${type} ${options}`, async (t) => {
      const disk = mounted(t, type, options);
      const target = join(disk, 'disk.raw');
      const plan = planOf(chain, target, join(disk, 'scratch'));
      const dry = await sharedCli(['restore', plan, '--dry-run', '--output', 'json']);
      t.equal(dry.exitCode, 0, dry.stderr);
      t.equal(drySchema.parse(JSON.parse(dry.stdout)).dryRun.scratchFree, null);
      const said = (await sharedCli(['restore', plan, '--dry-run'])).stdout;
      t.match(said, /scratch: .* needed, free space unknown\n/);
      for (const strategy of STRATEGIES) {
        const run = await runRestore(plan, ['--strategy', strategy, '--force']);
        t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
        t.match(run.stderr, /does not report its free space/);
        t.notMatch(run.stderr, /0 B free|\(0 bytes\)/);
        t.strictSame(warningsOf(run), []);
        t.ok(isIdentical(target, chain));
      }
      const verified = await sharedCli(['verify', plan, '--data']);
      t.equal(verified.exitCode, 0, verified.stderr);
      t.match(verified.stderr, /does not report its free space/);
    });
  }
  t.ok(bytes > 0);
});

test('no inodes left', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...MOUNT_TOOLS)) return;
  const chain = makeChain(t, { unit: MiB, layers: ['AB-D', '-C'] });
  const target = join(tempFolder(t), 'disk.raw');
  await t.test('for the layers', async (t) => {
    // The root, the scratch directory, the work folder, lock and journal, and one more.
    const disk = mounted(t, 'tmpfs', 'nr_inodes=6');
    const run = await runRestore(planOf(chain, target, join(disk, 'scratch')));
    t.equal(run.document.error?.code, 'SCRATCH_FULL', run.document.error?.message ?? 'no error');
    t.match(run.document.error?.message, /not enough inodes: PVC root needs 2 more files/);
    t.strictSame(readdirSync(disk), []);
  });
  await t.test('for anything', async (t) => {
    const disk = mounted(t, 'tmpfs', 'nr_inodes=1');
    const run = await runRestore(planOf(chain, target, join(disk, 'scratch')));
    t.equal(run.document.error?.code, 'SCRATCH_FULL');
    t.match(run.document.problems, [{}, { message: /not enough inodes/ }]);
  });
  await t.test('for the raw file', async (t) => {
    const disk = mounted(t, 'tmpfs', 'nr_inodes=1');
    const plan = planOf(chain, join(disk, 'disk.raw'), join(tempFolder(t), 's'));
    const run = await runRestore(plan);
    t.equal(run.document.error?.code, 'TARGET_FULL');
    t.equal(run.exitCode, 6);
    t.match(run.document.error?.message, /not enough inodes: PVC root needs 1 more file than/);
  });
});

test('what is kept of one PVC for a resume does not take the space that another one needs', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...SMALL_DISK_TOOLS, 'mkfifo')) return;
  const chain = makeChain(t, { unit: MiB, layers: ['ABCDEFGHIJKLMNOP', '--YZ'] });
  const bytes = chain.layers.reduce((sum, path) => sum + statSync(path).size, 0);
  const disk = smallDisk(t, { size: Math.ceil(1.6 * bytes) });
  const folder = tempFolder(t);
  const targets = { root: join(folder, 'root.raw'), data: join(folder, 'data.raw') };
  const plan = planOf(chain, targets, join(disk, 'scratch'));
  const gate = gateBefore(t, '^rebase.*/1/');
  const killed = watchRestore(t, plan, [], { env: gate.env });
  await gate.reachedBefore(killed.end);
  await kill(killed);
  // It reads the layers of what it keeps, too.
  const args = ['--verify', 'compare'];
  const dry = await sharedCli(['restore', plan, '--dry-run', '--output', 'json', ...args]);
  t.match(dry.stderr, /of an interrupted run would be removed from scratch: another PVC needs the space/);
  t.equal(drySchema.parse(JSON.parse(dry.stdout)).dryRun.bytesToFetch, 2 * bytes);
  const run = await runRestore(plan, args);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
  t.match(run.stderr, /of an interrupted run removed from scratch: another PVC needs the space/);
  t.ok(isIdentical(targets.root, chain));
  t.ok(isIdentical(targets.data, chain));
});

test('a tmpfs with a limit', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...MOUNT_TOOLS)) return;
  const chain = makeChain(t, { unit: MiB, layers: ['ABCDEFGH'] });
  const size = statSync(chain.layers[0] ?? '').size;
  const target = join(tempFolder(t), 'disk.raw');
  const refused = await runRestore(planOf(chain, target, mounted(t, 'tmpfs', 'size=8M')));
  t.equal(refused.document.error?.code, 'SCRATCH_FULL');
  t.match(refused.document.error?.message, `(${size} bytes), 8.00 MiB (${8 * MiB} bytes) available`);
  const tight = await runRestore(planOf(chain, target, mounted(t, 'tmpfs', 'size=9M')));
  t.equal(tight.exitCode, 0, tight.document.error?.message ?? 'restored');
  t.match(tight.stderr, `(${size} bytes), up to`);
  t.ok(isIdentical(target, chain));
});

test('blocks reserved for root are free for root, and not for others', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...MOUNT_TOOLS, 'mkfs.ext4')) return;
  const chain = makeChain(t, { unit: MiB, layers: ['ABCDEFGHIJKLMNOP'] });
  const disk = fileSystem(t, { size: 32 * MiB, format: ['mkfs.ext4', '-q', '-m', '40', '-O', '^has_journal'] });
  execFileSync('chmod', ['777', disk]);
  execFileSync('chmod', ['-R', 'a+rX', chain.dir]);
  const { bavail, bsize } = statfsSync(disk);
  t.ok(bavail * bsize < 16 * MiB && freeIn(disk) > 24 * MiB);
  const targets = tempFolder(t);
  execFileSync('chmod', ['777', targets]);
  const target = join(targets, 'disk.raw');
  const plan = planOf(chain, target, join(disk, 'scratch'));
  const other = await asNobody(['restore', plan, '--output', 'json']);
  t.equal(parseDocument(other.stdout).error?.code, 'SCRATCH_FULL');
  const root = await runRestore(plan);
  t.equal(root.exitCode, 0, root.document.error?.message ?? 'restored');
  t.strictSame(warningsOf(root), []);
});

/** The program as an unprivileged user. */
async function asNobody(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--'];
  const words = ['env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args];
  return await command('setpriv', [...user, ...words], { env: cleanEnvironment(env) });
}

test('a file system that compresses may hold more than it has left', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...MOUNT_TOOLS, 'mkfs.btrfs')) return;
  const chain = makeChain(t, { unit: MiB, layers: ['A'.repeat(160)] });
  const target = join(tempFolder(t), 'disk.raw');
  const btrfs = (options: string) =>
    fileSystem(t, { size: 128 * MiB, format: ['mkfs.btrfs', '-q', '--mixed'], options });
  const plain = await runRestore(planOf(chain, target, btrfs('loop')));
  t.equal(plain.document.error?.code, 'SCRATCH_FULL', plain.document.error?.message ?? 'no error');
  const compressed = await runRestore(planOf(chain, target, btrfs('loop,compress=zstd')));
  t.equal(compressed.exitCode, 0, compressed.document.error?.message ?? 'restored');
  t.match(compressed.stderr, /may become full: up to .* needed with 15 % headroom, .* available/);
  t.ok(isIdentical(target, chain));
});

test('hints name only what helps', async (t) => {
  if (!requires(t, ...CHAIN_TOOLS, ...SMALL_DISK_TOOLS)) return;
  const chain = makeChain(t, { unit: MiB, layers: ['ABCDEFGH', 'HGFEDCBA'] });
  const disk = smallDisk(t, { size: 12 * MiB });
  const hintOf = async (plan: string, ...args: string[]): Promise<string | undefined> => {
    const { document } = await runRestore(plan, args);
    t.equal(document.error?.code, 'SCRATCH_FULL', document.error?.message ?? 'no error');
    return document.error?.hint;
  };
  const elsewhere = planOf(chain, join(tempFolder(t), 'disk.raw'), join(disk, 's'));
  t.match(await hintOf(elsewhere), /--strategy stream/);
  const rawToo = await hintOf(elsewhere, '--strategy', 'staged-raw');
  t.match(rawToo, /--strategy stream/);
  t.notMatch(rawToo, /--strategy staged/, 'which needs the same layers');
  t.match(
    await hintOf(planOf(chain, join(disk, 'disk.raw'), join(disk, 's'))),
    /--strategy stream/,
    'the file alone fits',
  );
  fillUp(disk, 4 * MiB);
  t.notMatch(await hintOf(planOf(chain, join(disk, 'disk.raw'), join(disk, 's'))), /stream/, 'the file does not');
});

test('what a plan names its sha256 for cannot be streamed, and is not told to be', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...SMALL_DISK_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 16 * MiB }], checkpoints: 2 });
  const disk = smallDisk(t, { size: 3 * MiB });
  const target = join(tempFolder(t), 'disk.raw');
  const plan = await planFor(made, 'backup-002', { rootdisk: target }, { scratch: disk, sha256: true });
  const { document } = await runRestore(plan);
  t.equal(document.error?.code, 'SCRATCH_FULL');
  t.notMatch(document.error?.hint, /stream/);
  t.match((await runRestore(plan, ['--no-checksums'])).document.error?.hint, /--strategy stream/);
});

test('verify --data needs its largest layer in scratch', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...SMALL_DISK_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 16 * MiB }], checkpoints: 3 });
  const plan = await planFor(made, 'backup-003', { rootdisk: '/dev/no-such-target' });
  const sizes = made.checkpoints.map(({ layers }) => layers[0]?.size ?? 0);
  const largest = Math.max(...sizes);
  const verify = async (scratch: string) => {
    const { exitCode, stdout, stderr } = await sharedCli([
      'verify',
      plan,
      '--data',
      '--scratch',
      scratch,
      '--output',
      'json',
    ]);
    const document = z
      .looseObject({
        problems: z.array(z.looseObject({ code: z.string(), message: z.string(), hint: z.string() })),
        pvcs: z.array(z.looseObject({ verdict: z.string() })),
      })
      .parse(JSON.parse(stdout));
    return { exitCode, stderr, document };
  };
  const small = smallDisk(t, { size: 3 * MiB });
  const refused = await verify(small);
  t.equal(refused.exitCode, 5);
  t.match(refused.document.problems, [{ code: 'SCRATCH_FULL', message: `PVC rootdisk needs` }]);
  t.match(refused.document.problems[0]?.message, new RegExp(`\\(${largest} bytes\\), .*\\(\\d+ bytes\\) available`));
  t.match(refused.document.pvcs, [{ verdict: 'suspect' }], 'its data was not read');
  t.strictSame(readdirSync(small), ['lost+found']);
  const disk = smallDisk(t, { size: 24 * MiB });
  fillUp(disk, largest + 512 * KiB);
  const tight = await verify(disk);
  t.equal(tight.exitCode, 0, tight.stderr);
  t.match(tight.stderr, `at least`);
  t.ok(sizes.reduce((sum, size) => sum + size, 0) > largest + 512 * KiB, 'one layer at a time');
});

test('what an interrupted run left, and what others need, in one account', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...SMALL_DISK_TOOLS)) return;
  const shape = { size: 8 * MiB, initial: { bytes: 4 * MiB } };
  const made: BackupForTest = await madeBackup(t, {
    disks: [
      { name: 'a', ...shape },
      { name: 'b', ...shape },
    ],
    checkpoints: 1,
  });
  const disk = smallDisk(t, { size: 32 * MiB });
  const targets = { a: join(disk, 'a.raw'), b: join(disk, 'b.raw') };
  const edit = (document: PlanDocument): void => void Object.assign(document.scratch ?? {}, { headroomPercent: 50 });
  const plan = await planFor(made, 'backup-001', targets, { scratch: disk, edit });
  const dry = await sharedCli(['restore', plan, '--dry-run', '--output', 'json']);
  const layer = made.checkpoints[0]?.layers[1]?.size ?? 0;
  const { scratchNeeded } = drySchema.parse(JSON.parse(dry.stdout)).dryRun;
  t.equal(scratchNeeded, Math.ceil(layer * 1.5) + 2 * shape.size, 'the layers of one, the files of both');
  fillUp(disk, 2 * 4 * MiB + layer + MiB);
  const run = await runRestore(plan);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
  t.match(run.stderr, new RegExp(`at least .*\\(${layer} bytes\\), up to .* needed with 50 % headroom, .* available`));
  for (const name of ['a', 'b']) {
    t.equal(await difference(join(disk, `${name}.raw`), truthOf(made, 'backup-001', name)), undefined);
  }
});
