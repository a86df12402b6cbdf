// No path that is written is one that is read, or another one that is written: by whatever name, link or mount.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { planId } from '../../src/plan/plan-id.ts';
import { readPlan } from '../../src/plan/read.ts';
import { KiB, MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  madeBackup,
  type PlanDocument,
  planFor,
  sha256Of,
} from '../helpers/backup.ts';
import { isFilled } from '../helpers/filled.ts';
import { attachLoop, detachLoop, loopDevice } from '../helpers/loop-device.ts';
import { MOUNT_TOOLS, runMounted } from '../helpers/mounted-cli.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { parseDocument, type RestoreDocument, scratchOf } from '../helpers/restore.ts';
import { cleanEnvironment, programPath } from '../helpers/run-cli.ts';

const SIZE = 4 * MiB;
const BACKUP = 'backup-002';
const WAYS = ['staged', 'staged-raw', 'stream'].flatMap((strategy) => [
  ['--strategy', strategy, '--force'],
  ['--strategy', strategy, '--force', '--dry-run'],
]);

async function backupOf(t: Test): Promise<BackupForTest> {
  const disks = [
    { name: 'rootdisk', size: SIZE },
    { name: 'datadisk', size: SIZE },
  ] as const;
  return await madeBackup(t, { disks, checkpoints: 2 });
}

function layerOf(made: BackupForTest, disk: string, checkpoint = 0): string {
  return made.checkpoints[checkpoint]?.layers.find((layer) => layer.disk === disk)?.path ?? '';
}

/** Every file below a directory with its SHA-256. */
async function sumsOf(directory: string): Promise<Record<string, string>> {
  const sums: Record<string, string> = {};
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    sums[path] = entry.isFile() ? await sha256Of(path) : 'directory';
  }
  return sums;
}

interface Attempt {
  /** Whose targets: by default `rootdisk` alone. */
  readonly targets: Readonly<Record<string, string>>;
  readonly code?: string;
  /** What the message says: both paths. */
  readonly says: readonly (string | RegExp)[];
  readonly args?: readonly string[];
  readonly mounts?: Readonly<Record<string, string>>;
  readonly edit?: (document: PlanDocument) => void;
  readonly scratch?: string;
}

const STATUSES: Readonly<Record<string, number>> = { PLAN_INVALID: 2, USAGE: 2, SCRATCH_UNUSABLE: 5, TARGET_BUSY: 6 };

/** Refused with one problem, and nothing of the source or the plan is another than before. */
async function refuses(
  t: Test,
  made: BackupForTest,
  { targets, code = 'PLAN_INVALID', says, args = ['--force'], mounts, edit, scratch }: Attempt,
): Promise<RestoreDocument> {
  const options = { ...(edit === undefined ? {} : { edit }), ...(scratch === undefined ? {} : { scratch }) };
  const plan = await planFor(made, BACKUP, targets, options);
  return await refusesPlan(t, made, { plan, code, says, args, ...(mounts === undefined ? {} : { mounts }) });
}

async function refusesPlan(
  t: Test,
  made: BackupForTest,
  {
    plan,
    code = 'PLAN_INVALID',
    says,
    args = ['--force'],
    mounts,
    env = {},
  }: Omit<Attempt, 'targets' | 'edit' | 'scratch'> & { readonly plan: string; readonly env?: NodeJS.ProcessEnv },
): Promise<RestoreDocument> {
  const before = { ...(await sumsOf(made.bucket)), plan: readFileSync(plan, 'utf8') };
  const words = ['restore', plan, '--output', 'json', ...args];
  const run = mounts === undefined ? await sharedCli(words, { env }) : runMounted(mounts, words);
  const document = parseDocument(run.stdout);
  t.equal(document.error?.code, code, document.error?.message ?? 'no error');
  t.equal(run.exitCode, STATUSES[code], 'exit status');
  for (const what of says) t.match(document.error?.message, what);
  t.not(document.error?.hint, '');
  t.notMatch(run.stderr, /^\s+at .*:\d+:\d+/m, 'no stack trace');
  t.strictSame(document.problems?.length, 1, JSON.stringify(document.problems));
  t.strictSame(
    { ...(await sumsOf(made.bucket)), plan: readFileSync(plan, 'utf8') },
    before,
    'the source and the plan are as they were',
  );
  t.strictSame(scratchOf(made), [], 'nothing is left in scratch');
  return document;
}

test('a target that is a layer, by every strategy, with --force', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t);
  const layer = layerOf(made, 'rootdisk');
  for (const args of WAYS) {
    await t.test(args.join(' '), async (t) => {
      const document = await refuses(t, made, { targets: { rootdisk: layer }, says: [layer, /source object/], args });
      t.match(document.problems?.[0], { pvc: 'rootdisk' });
    });
  }
});

test('a target that is anything that is read, by any name', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...MOUNT_TOOLS)) return;
  const made = await backupOf(t);
  const own = layerOf(made, 'rootdisk', 1);
  const other = layerOf(made, 'datadisk');
  const index = join(made.bucket, 'checkpoints', made.namespace, made.vm, 'index.json');
  const at = (name: string): string => join(made.folder, name);
  const linked = (name: string, from: string): string => {
    linkSync(from, at(name));
    return at(name);
  };
  await t.test("another disk's layer", async (t) => {
    await refuses(t, made, { targets: { rootdisk: other }, says: [other, /source directory|source object/] });
  });
  await t.test('a path that climbs', async (t) => {
    const climbing = `${made.bucket}/checkpoints/../checkpoints/${own.slice(own.indexOf('/checkpoints/') + 13)}`;
    await refuses(t, made, { targets: { rootdisk: climbing }, says: [own] });
  });
  await t.test('a symbolic link', async (t) => {
    symlinkSync(own, at('link.raw'));
    await refuses(t, made, { targets: { rootdisk: at('link.raw') }, says: [at('link.raw'), own] });
  });
  await t.test('a hard link', async (t) => {
    await refuses(t, made, { targets: { rootdisk: linked('hard.raw', own) }, says: [at('hard.raw'), own] });
    t.equal(await sha256Of(at('hard.raw')), await sha256Of(own));
  });
  await t.test("a hard link of another disk's layer, which this run does not restore", async (t) => {
    const targets = { rootdisk: linked('hard-other.raw', other), datadisk: at('new.raw') };
    const says = [at('hard-other.raw'), other];
    await refuses(t, made, { targets, says, args: ['--force', '--pvc', 'rootdisk'] });
  });
  await t.test('the index, by path and by a hard link, of a chain that is looked up', async (t) => {
    for (const rootdisk of [index, linked('index.raw', index)]) {
      const plan = await planFor(made, BACKUP, { rootdisk }, { chains: 'looked-up' });
      await refusesPlan(t, made, { plan, says: [rootdisk, index] });
    }
  });
  await t.test('the plan, by path, by a symbolic and by a hard link', async (t) => {
    for (const name of ['plan.raw', 'plan-link.raw', 'plan-hard.raw']) {
      const plan = await planFor(made, BACKUP, { rootdisk: at(name) });
      if (name === 'plan.raw') copyFileSync(plan, at(name));
      else if (name === 'plan-link.raw') symlinkSync(plan, at(name));
      else linkSync(plan, at(name));
      const named = name === 'plan.raw' ? at(name) : plan;
      await refusesPlan(t, made, { plan: named, says: [at(name), /plan /, named] });
    }
  });
  await t.test('a new file in the source', async (t) => {
    const fresh = join(made.bucket, 'checkpoints', 'new.raw');
    await refuses(t, made, { targets: { rootdisk: fresh }, says: [fresh, /is inside source directory/] });
    symlinkSync(join(made.bucket, 'checkpoints'), at('linked'));
    const through = join(at('linked'), 'new.raw');
    await refuses(t, made, { targets: { rootdisk: through }, says: [through, made.directory] });
  });
  await t.test('bind mounts of the source, of a directory in it, of a layer', async (t) => {
    mkdirSync(at('all'));
    mkdirSync(at('part'));
    writeFileSync(at('one.raw'), '');
    const part = join(made.bucket, 'checkpoints', made.namespace);
    for (const [from, to, target] of [
      [made.bucket, at('all'), join(at('all'), 'new.raw')],
      [part, at('part'), join(at('part'), 'new.raw')],
      [own, at('one.raw'), at('one.raw')],
      [layerOf(made, 'datadisk', 1), at('one.raw'), at('one.raw')],
    ] as const) {
      await refuses(t, made, { targets: { rootdisk: target }, says: [target, made.directory], mounts: { [from]: to } });
    }
    // The other way round: the source is the bind mount, the target is in the directory itself.
    await refuses(t, made, {
      targets: { rootdisk: join(made.bucket, 'new.raw') },
      says: [at('all'), join(made.bucket, 'new.raw')],
      mounts: { [made.bucket]: at('all') },
      edit: (document) => Object.assign(document.source, { directory: at('all') }),
    });
  });
});

test('a loop device whose file is a layer, or is in the source', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const disks = [
    { name: 'rootdisk', size: SIZE },
    { name: 'small', size: 64 * KiB },
  ] as const;
  const made: BackupForTest = await madeBackup(t, { disks, checkpoints: 2 });
  const outside = join(made.folder, 'outside');
  const inside = join(made.bucket, 'inside');
  writeFileSync(inside, Buffer.alloc(SIZE));
  linkSync(layerOf(made, 'rootdisk'), outside);
  for (const file of [inside, outside]) {
    const loop = attachLoop(file);
    t.teardown(() => detachLoop(loop));
    const targets = { rootdisk: join(made.folder, 'new.raw'), small: loop };
    await refuses(t, made, { targets, says: [loop, file], args: ['--force', '--pvc', 'small'] });
  }
});

test('targets that are one file, or lie in the work directory, and what a work directory must not be', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t);
  const at = (name: string): string => join(made.folder, name);
  await t.test('two names of one file', async (t) => {
    writeFileSync(at('one.raw'), 'old');
    linkSync(at('one.raw'), at('two.raw'));
    await refuses(t, made, {
      targets: { rootdisk: at('one.raw'), datadisk: at('two.raw') },
      says: ['one.raw', 'two.raw'],
    });
    t.equal(readFileSync(at('two.raw'), 'utf8'), 'old');
  });
  await t.test('names that differ by case are two files where they are', async (t) => {
    const plan = await planFor(made, BACKUP, { rootdisk: at('Disk.raw'), datadisk: at('disk.raw') });
    t.equal((await sharedCli(['restore', plan])).exitCode, 0);
    t.ok(existsSync(at('Disk.raw')) && existsSync(at('disk.raw')));
  });
  await t.test('in the work directory, which --no-resume empties', async (t) => {
    const target = at('placeholder.raw');
    const plan = await planFor(made, BACKUP, { rootdisk: target });
    // The plan's id is of what is restored, not of where scratch is: the same for both.
    const id = planId(await readPlan({ path: plan, cwd: '/' }));
    const work = join(at('scratch'), `kubevirt-datamover-${id}`);
    mkdirSync(work, { recursive: true, mode: 0o700 });
    writeFileSync(join(work, 'disk.raw'), 'precious');
    symlinkSync(join(work, 'disk.raw'), target);
    const run = await sharedCli(['restore', plan, '--force', '--no-resume', '--output', 'json']);
    t.match(parseDocument(run.stdout).error, { code: 'PLAN_INVALID', message: /is inside work directory/ });
    t.equal(readFileSync(join(work, 'disk.raw'), 'utf8'), 'precious');
    rmSync(at('scratch'), { recursive: true });
  });
  await t.test('scratch in the source', async (t) => {
    for (const scratch of [made.bucket, join(made.bucket, 'checkpoints', 'scratch')]) {
      for (const args of [['--force'], ['--force', '--dry-run'], ['--force', '--no-resume']]) {
        const says = [scratch, /is inside source directory/];
        await refuses(t, made, { targets: { rootdisk: at('new.raw') }, code: 'SCRATCH_UNUSABLE', says, scratch, args });
      }
    }
    t.notOk(existsSync(join(made.bucket, 'checkpoints', 'scratch')));
  });
  await t.test('the runtime directory of stream in the source', async (t) => {
    const plan = await planFor(made, BACKUP, { rootdisk: at('new.raw') });
    const env = { XDG_RUNTIME_DIR: made.bucket };
    const args = ['--strategy', 'stream'];
    await refusesPlan(t, made, { plan, code: 'SCRATCH_UNUSABLE', says: [made.bucket], args, env });
    const verified = await sharedCli(['verify', plan, '--data', '--output', 'json', '--scratch', made.bucket]);
    t.match(JSON.parse(verified.stdout).error, { code: 'SCRATCH_UNUSABLE', message: /is inside source directory/ });
    const before = await sumsOf(made.bucket);
    const layer = layerOf(made, 'rootdisk');
    const edit = (document: PlanDocument): void => void delete document.scratch;
    const noScratch = await planFor(made, BACKUP, { rootdisk: at('new.raw') }, { edit });
    const reported = await sharedCli(['verify', noScratch, '--data', '--output', 'json', '--report', layer], { env });
    t.strictSame(
      JSON.parse(reported.stdout).problems.map(({ code }: { code: string }) => code),
      ['SCRATCH_UNUSABLE', 'USAGE'],
    );
    t.strictSame(await sumsOf(made.bucket), before);
  });
  await t.test('all of it in one list', async (t) => {
    const targets = { rootdisk: layerOf(made, 'rootdisk'), datadisk: layerOf(made, 'datadisk') };
    const plan = await planFor(made, BACKUP, targets, { scratch: made.bucket });
    const report = join(made.bucket, 'report.json');
    const run = await sharedCli(['restore', plan, '--force', '--output', 'json', '--report', report]);
    const { problems = [] } = parseDocument(run.stdout);
    t.strictSame(
      problems.map(({ pvc, code }) => `${pvc ?? ''} ${code}`),
      ['rootdisk PLAN_INVALID', 'datadisk PLAN_INVALID', ' SCRATCH_UNUSABLE', ' USAGE'],
    );
    t.notOk(existsSync(report));
  });
});

test('--report on what is read or written', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await backupOf(t);
  const at = (name: string): string => join(made.folder, name);
  const existing = at('existing.raw');
  const device = loopDevice(t, { size: SIZE });
  writeFileSync(existing, 'a disk of before');
  const layer = layerOf(made, 'datadisk');
  linkSync(layer, at('hard.qcow2'));
  const attempts: [string, string, readonly (string | RegExp)[]][] = [
    ['an existing raw target', existing, [existing, /report .* and target .* are the same file/]],
    ['a layer', layer, [layer]],
    ['a hard link of a layer', at('hard.qcow2'), [at('hard.qcow2'), layer]],
    ['a new file in the source', join(made.bucket, 'report.json'), [/is inside source directory/]],
  ];
  for (const [name, report, says] of attempts) {
    await t.test(name, async (t) => {
      const targets = { rootdisk: existing, datadisk: device.path };
      await refuses(t, made, { targets, code: 'USAGE', says, args: ['--force', '--report', report] });
      t.equal(readFileSync(existing, 'utf8'), 'a disk of before');
      t.ok(isFilled(readFileSync(device.file)), 'no target was written');
    });
  }
  await t.test('a raw target that does not exist yet, and the file beside it', async (t) => {
    const fresh = at('fresh.raw');
    const plan = await planFor(made, BACKUP, { rootdisk: fresh });
    const id = planId(await readPlan({ path: plan, cwd: '/' }));
    for (const report of [fresh, `${fresh}.${id}.partial`]) {
      await refusesPlan(t, made, { plan, code: 'USAGE', says: [report], args: ['--report', report] });
      t.notOk(existsSync(report));
    }
  });
  await t.test('a target, when the run fails before anything is compared', async (t) => {
    const fresh = at('not-yet.raw');
    const plan = await planFor(
      made,
      BACKUP,
      { rootdisk: fresh },
      { edit: (document) => Object.assign(document.source, { directory: at('missing') }) },
    );
    for (const args of [[], ['--dry-run']]) {
      const run = await sharedCli(['restore', plan, '--report', fresh, ...args], { cwd: made.folder });
      t.match(run.stderr, /^error OBJECT_MISSING/m);
      t.match(run.stderr, /report .* and target .* are the same file/);
      t.notOk(existsSync(fresh));
    }
  });
  await t.test('the plan, also one that is invalid', async (t) => {
    const plan = await planFor(made, BACKUP, { rootdisk: existing });
    await refusesPlan(t, made, {
      plan,
      code: 'USAGE',
      says: [/report .* and plan/],
      args: ['--force', '--report', plan],
    });
    const invalid = await planFor(
      made,
      BACKUP,
      { rootdisk: existing },
      { edit: (document) => Object.assign(document, { no: 1 }) },
    );
    const before = await sumsOf(made.folder);
    for (const report of [invalid, layer, join(made.bucket, 'checkpoints', made.namespace, made.vm, 'index.json')]) {
      const run = await sharedCli(['restore', invalid, '--report', report]);
      t.match(run.stderr, /^error PLAN_INVALID/m);
      t.match(run.stderr, /^error USAGE: report .* (?:are the same file|is inside source directory)/m);
      t.equal(run.exitCode, 2);
    }
    t.strictSame(await sumsOf(made.folder), before);
  });
  await t.test('a block device, target or not', async (t) => {
    const plan = await planFor(made, BACKUP, { rootdisk: device.path });
    const run = await sharedCli(['restore', plan, '--force', '--report', device.path]);
    t.equal(run.exitCode, 2);
    t.match(run.stderr, /USAGE: the report cannot be written to .*: not a regular file/);
    t.ok(isFilled(readFileSync(device.file)));
  });
  await t.test('the plan on standard input', async (t) => {
    const plan = await planFor(made, BACKUP, { rootdisk: at('new.raw') });
    const words = [programPath(), 'restore', '-', '--output', 'json', '--report', plan];
    const script = 'plan=$1; shift; exec "$@" < "$plan"';
    const before = readFileSync(plan, 'utf8');
    const run = spawnSync('sh', ['-c', script, 'sh', plan, 'env', '-u', 'NODE_OPTIONS', process.execPath, ...words], {
      env: cleanEnvironment(),
      encoding: 'utf8',
      cwd: made.folder,
    });
    t.match(parseDocument(run.stdout).error, { code: 'USAGE', message: /plan on standard input/ });
    t.equal(readFileSync(plan, 'utf8'), before);
  });
  await t.test('a disk image that is none of this plan', async (t) => {
    const image = at('another.img');
    writeFileSync(image, Buffer.alloc(SIZE));
    const targets = { rootdisk: at('new.raw') };
    await refuses(t, made, { targets, code: 'USAGE', says: [image, /binary data/], args: ['--report', image] });
    t.equal(readFileSync(image).length, SIZE);
  });
  await t.test('an older report, and a file beside the targets, are fine', async (t) => {
    const report = at('report.json');
    for (const target of ['first.raw', 'second.raw']) {
      const plan = await planFor(made, BACKUP, { rootdisk: at(target) });
      const run = await sharedCli(['restore', plan, '--report', report]);
      t.equal(run.exitCode, 0, run.stderr);
      t.match(parseDocument(readFileSync(report, 'utf8')).pvcs[0]?.target, at(target));
    }
  });
});

test('output, the termination log and files with credentials', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await backupOf(t);
  const device = loopDevice(t, { size: SIZE });
  const at = (name: string): string => join(made.folder, name);
  const plan = await planFor(made, BACKUP, { rootdisk: device.path });
  const index = join(made.bucket, 'checkpoints', made.namespace, made.vm, 'index.json');
  const redirected = (redirection: string, ...args: string[]) =>
    spawnSync(
      'sh',
      ['-c', `exec "$@" ${redirection}`, 'sh', 'env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args],
      { env: cleanEnvironment(), encoding: 'utf8' },
    );
  await t.test('the result redirected to the target, or to an object', async (t) => {
    const run = redirected(`> ${device.path}`, 'restore', plan, '--force', '--output', 'json');
    t.equal(run.status, 2);
    t.match(run.stderr, /USAGE: standard output and target .* are the same/);
    t.ok(isFilled(readFileSync(device.file)));
    const before = await sumsOf(made.bucket);
    for (const args of [
      ['restore', await planFor(made, BACKUP, { rootdisk: at('new.raw') }, { chains: 'looked-up' }), '--dry-run'],
      ['plan', '--source', made.directory, '--vm', `${made.namespace}/${made.vm}`],
    ]) {
      const appended = redirected(`>> ${index}`, ...args);
      t.equal(appended.status, 2, args.join(' '));
      t.match(appended.stderr, /USAGE: standard output/);
    }
    t.strictSame(await sumsOf(made.bucket), before);
    const beside = redirected(`> ${join(made.bucket, 'list.txt')}`, 'list', '--source', made.directory);
    t.equal(beside.status, 0, 'a listing in the directory of the backup overwrites nothing');
  });
  await t.test('a termination log that is the plan, an object, a target', async (t) => {
    const target = at('target.raw');
    writeFileSync(target, 'old');
    const own = await planFor(made, BACKUP, { rootdisk: target }, { chains: 'looked-up' });
    for (const path of [own, index, target]) {
      const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBEVIRT_DM_TERMINATION_LOG: path };
      await refusesPlan(t, made, { plan: own, code: 'USAGE', says: [path, /^termination log/], env });
    }
    t.equal(readFileSync(target, 'utf8'), 'old');
    const manifest = await sharedCli(
      ['manifest', own, '--image', 'i', '--scratch-class', 'a', '--strategy', 'stream'],
      {
        env: { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBEVIRT_DM_TERMINATION_LOG: layerOf(made, 'rootdisk') },
      },
    );
    t.equal(manifest.exitCode, 2);
    t.equal(readFileSync(layerOf(made, 'rootdisk')).toString('latin1', 0, 3), 'QFI');
  });
  await t.test('a credentials file as a report, as a target, as a socket', async (t) => {
    const file = at('cloud');
    writeFileSync(file, '[other]\naws_access_key_id = a\naws_secret_access_key = b\n');
    const s3 = { bucket: 'b', endpoint: 'http://127.0.0.1:9', credentialsFile: file };
    const edit = (document: PlanDocument): void => {
      document.source = { s3 };
    };
    const bucketPlan = await planFor(made, BACKUP, { rootdisk: at('new.raw') }, { edit });
    const run = await sharedCli(['restore', bucketPlan, '--report', file]);
    t.equal(run.exitCode, 2);
    t.match(run.stderr, /report .*cloud and credentials file .*cloud are the same file/);
    t.match(readFileSync(file, 'utf8'), /^\[other\]/);
  });
});

test('a socket that is read, or that exists', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'qemu-nbd')) return;
  const made = await backupOf(t);
  const plan = await planFor(made, BACKUP, { rootdisk: join(made.folder, 'new.raw') });
  const other = join(made.folder, 'other');
  writeFileSync(other, 'precious');
  const before = await sumsOf(made.folder);
  for (const [socket, code, says] of [
    [plan, 'USAGE', /socket .* and plan .* are the same file/],
    [layerOf(made, 'rootdisk'), 'USAGE', /source object/],
    [join(made.bucket, 'disk.sock'), 'USAGE', /is inside source directory/],
    [other, 'LISTEN_FAILED', /already exists/],
  ] as const) {
    const run = await sharedCli(['serve', plan, '--socket', socket, '--output', 'json']);
    t.equal(run.exitCode, 2);
    t.match(JSON.parse(run.stdout).error, { code, message: says });
  }
  t.strictSame(await sumsOf(made.folder), before);
});
