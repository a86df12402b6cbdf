// A target that ends in .qcow2: a thin image by itself, complete or not there at all, whatever happens on the way.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Test, test } from 'tap';
import type { BackupShape, DiskShape } from '../../scripts/lib/make-backup/shape.ts';
import { STRATEGIES } from '../../src/strategy.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { MOUNT_TOOLS, mounted } from '../helpers/file-system.ts';
import { gateBefore } from '../helpers/gate.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const BACKUP = 'backup-003';

const disk = (shape: Partial<DiskShape> = {}): DiskShape => ({ name: 'rootdisk', size: 16 * MiB, ...shape });

const SHAPES: Record<string, BackupShape> = {
  'a disk that grew, of a size that no cluster divides': {
    disks: [disk({ size: 5 * MiB + 512, resize: { 3: 9 * MiB + 3 * 512 } })],
    checkpoints: 3,
  },
  'compressed clusters, discards and zeros': {
    disks: [disk({ compressed: true, changes: { bytes: MiB, zero: MiB, discard: MiB } })],
    checkpoints: 3,
    like: 'other',
  },
  'a sector': { disks: [disk({ size: 512 })], checkpoints: 3 },
};

interface Restored {
  readonly made: BackupForTest;
  readonly target: string;
  readonly plan: string;
  readonly env: NodeJS.ProcessEnv;
}

async function planned(t: Test, made: BackupForTest, folder = tempFolder(t)): Promise<Restored> {
  const target = join(folder, 'disk.qcow2');
  const plan = await planFor(made, BACKUP, { rootdisk: target }, { scratch: join(tempFolder(t), 'scratch') });
  return { made, target, plan, env: { XDG_RUNTIME_DIR: tempFolder(t) } };
}

/** What `qemu-img compare` says of the image and the true disk; undefined when they are identical. */
function differs({ made, target }: Restored): string | undefined {
  const args = ['compare', '-f', 'raw', '-F', 'qcow2', truthOf(made, BACKUP, 'rootdisk'), target];
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
  return status === 0 ? undefined : `${stdout}${stderr}`;
}

function infoOf(target: string) {
  return JSON.parse(execFileSync('qemu-img', ['info', '--output=json', target], { encoding: 'utf8' }));
}

/** Nothing but the target is in its directory, or nothing at all. */
function isAlone(t: Test, { target }: Restored, exists = true): void {
  t.strictSame(readdirSync(dirname(target)), exists ? [basename(target)] : []);
}

for (const [name, shape] of Object.entries(SHAPES)) {
  test(name, async (t) => {
    if (!requires(t, ...BACKUP_TOOLS)) return;
    const made = await madeBackup(t, shape);
    for (const strategy of STRATEGIES) {
      for (const compress of name === 'a sector' ? [[]] : [[], ['--compress']]) {
        await t.test([strategy, ...compress].join(' '), async (t) => {
          const one = await planned(t, made);
          const flags = ['--strategy', strategy, '--verify', 'compare', ...compress];
          const run = await runRestore(one.plan, flags, one.env);
          t.equal(run.exitCode, 0, run.stderr);
          t.match(run.document.pvcs, [{ state: 'restored', verified: true }]);
          if (strategy === 'stream') t.match(run.document.pvcs, [{ via: 'qemu' }]);
          t.equal(differs(one), undefined);
          t.equal(lstatSync(one.target).mode & 0o777, 0o600);
          t.match(infoOf(one.target), {
            format: 'qcow2',
            'virtual-size': statSync(truthOf(made, BACKUP, 'rootdisk')).size,
            'format-specific': { data: { 'compression-type': compress.length > 0 ? 'zstd' : 'zlib', corrupt: false } },
          });
          t.notOk(Object.hasOwn(infoOf(one.target), 'backing-filename'));
          isAlone(t, one);
        });
      }
    }
  });
}

test('a second run keeps a finished image, compares it, and replaces it by force alone', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const shape: BackupShape = { disks: [disk(), { name: 'datadisk', size: 8 * MiB }], checkpoints: 3 };
  const made = await madeBackup(t, shape);
  for (const strategy of ['staged', 'stream'] as const) {
    await t.test(strategy, async (t) => {
      const folder = tempFolder(t);
      const target = join(folder, 'disk.qcow2');
      const targets = { rootdisk: target, datadisk: join(folder, 'data.qcow2') };
      const plan = await planFor(made, BACKUP, targets, { scratch: join(tempFolder(t), 'scratch') });
      const env = { XDG_RUNTIME_DIR: tempFolder(t) };
      const one = { made, target, plan, env };
      const gate = gateBefore(t, '^create .*data.qcow2');
      const run = watchRestore(t, plan, ['--strategy', strategy], { env: { ...env, ...gate.env } });
      await gate.reachedBefore(run.end);
      run.child.kill('SIGTERM');
      t.equal((await run.end).exitCode, 143);
      t.strictSame(readdirSync(folder), ['disk.qcow2'], 'nothing of the second is left');
      const dry = await runRestore(plan, ['--strategy', strategy, '--dry-run'], env);
      t.equal(dry.exitCode, 0, dry.stderr);
      t.match(dry.stderr, /it would be kept/);
      const ino = statSync(target).ino;
      const image = readFileSync(target);
      const flags = ['--strategy', strategy, '--verify', 'compare'];
      const again = await runRestore(plan, ['--pvc', 'rootdisk', ...flags], env);
      t.equal(again.exitCode, 0, again.stderr);
      t.match(again.document.pvcs, [{ name: 'rootdisk', state: 'kept', verified: true }]);
      t.equal(statSync(target).ino, ino);
      // The second disk was not restored: the journal stays, and what changed the image since is noticed.
      writeFileSync(target, image.subarray(0, image.length - 64 * KiB));
      const changed = await runRestore(plan, flags, env);
      t.equal(changed.exitCode, 6);
      t.match(changed.document.error, { code: 'TARGET_NOT_BLANK', message: /already exists/ });
      const forced = await runRestore(plan, [...flags, '--force', '--compress'], env);
      t.equal(forced.exitCode, 0, forced.stderr);
      t.match(forced.document.pvcs, [
        { state: 'restored', verified: true },
        { state: 'restored', verified: true },
      ]);
      t.equal(differs(one), undefined);
    });
  }
});

test('killed and cancelled while it is written', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await madeBackup(t, { disks: [disk()], checkpoints: 3 });
  for (const strategy of ['staged', 'stream'] as const) {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await t.test(`${strategy} ${signal}`, async (t) => {
        const one = await planned(t, made);
        const gate = gateBefore(t, '^check .*disk.qcow2.*partial');
        const run = watchRestore(t, one.plan, ['--strategy', strategy], { env: { ...one.env, ...gate.env } });
        await gate.reachedBefore(run.end);
        t.notOk(existsSync(one.target));
        run.child.kill(signal);
        await run.end;
        t.notOk(existsSync(one.target), 'no half image under its name');
        if (signal === 'SIGTERM') isAlone(t, one, false);
        const again = await runRestore(one.plan, ['--strategy', strategy], one.env);
        t.equal(again.exitCode, 0, again.stderr);
        t.equal(differs(one), undefined);
        isAlone(t, one);
      });
    }
  }
});

test('an image that is not what was written never gets its name', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await madeBackup(t, { disks: [disk()], checkpoints: 3 });
  const CASES = {
    'cut short before its tables are checked': {
      before: '^check .*disk.qcow2.*partial',
      damage: (path: string) => truncateSync(path, 320 * KiB),
      exit: 6,
      error: { code: 'TARGET_WRITE_FAILED', message: /disk\.qcow2: .*\(checked after it was written\)$/ },
    },
    'a byte changed before it is compared': {
      before: '^compare .*disk.qcow2.*partial',
      damage: (path: string) => writeSync(openSync(path, 'r+'), Buffer.of(0x55), 0, 1, statSync(path).size - 1),
      exit: 8,
      error: { code: 'VERIFY_MISMATCH' },
    },
  };
  for (const [name, { before, damage, exit, error }] of Object.entries(CASES)) {
    await t.test(name, async (t) => {
      const one = await planned(t, made);
      const gate = gateBefore(t, before);
      const run = watchRestore(t, one.plan, ['--verify', 'compare'], { env: { ...one.env, ...gate.env } });
      await gate.reachedBefore(run.end);
      const [partial = ''] = readdirSync(dirname(one.target));
      damage(join(dirname(one.target), partial));
      gate.open();
      const end = await run.end;
      t.equal(end.exitCode, exit, end.stderr);
      t.match(end.document?.error, error);
      isAlone(t, one, false);
    });
  }
});

test('a file system that is too small, by any number of bytes', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...MOUNT_TOOLS)) return;
  const made = await madeBackup(t, { disks: [disk({ initial: { bytes: 4 * MiB } })], checkpoints: 3 });
  const { target } = await (async () => {
    const one = await planned(t, made);
    t.equal((await runRestore(one.plan, [], one.env)).exitCode, 0);
    return one;
  })();
  const needed = statSync(target).blocks * 512;
  for (const missing of [2 * MiB, 128 * KiB, 4 * KiB, -64 * KiB]) {
    await t.test(`${missing} bytes`, async (t) => {
      const one = await planned(t, made, mounted(t, 'tmpfs', `mode=755,size=${needed - missing}`));
      const run = await runRestore(one.plan, [], one.env);
      if (run.exitCode !== 0) {
        t.equal(run.exitCode, 6, run.stderr);
        t.equal(run.document.error?.code, 'TARGET_FULL');
        isAlone(t, one, false);
        return;
      }
      t.ok(missing < 64 * KiB);
      t.equal(differs(one), undefined);
    });
  }
});

test('--compress needs an image to compress, and names are as for raw files', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [disk()], checkpoints: 3 });
  const raw = await planFor(made, BACKUP, { rootdisk: join(tempFolder(t), 'disk.raw') });
  const refused = await runRestore(raw, ['--compress']);
  t.equal(refused.exitCode, 2);
  t.match(refused.document.error, { code: 'USAGE', message: /--compress requires a target file that ends in \.qcow2/ });
  const one = await planned(t, made);
  writeFileSync(one.target, 'another file');
  const exists = await runRestore(one.plan, ['--compress']);
  t.match(exists.document.error, { code: 'TARGET_NOT_BLANK' });
  t.equal(readFileSync(one.target, 'utf8'), 'another file');
});

test('a pod gets the file system of an image, not a device', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [disk()], checkpoints: 1 });
  const plan = await planFor(
    made,
    'backup-001',
    { rootdisk: '/target/disk.qcow2' },
    {
      edit: (document) => Object.assign(document, { source: { s3: { bucket: 'b', region: 'r' } } }),
    },
  );
  const { exitCode, stdout, stderr } = await sharedCli(['manifest', plan, '--image', 'i', '--namespace', 'demo']);
  t.equal(exitCode, 0, stderr);
  t.match(stdout, /mountPath: \/target\n/);
  t.notMatch(stdout, /devicePath/);
});
