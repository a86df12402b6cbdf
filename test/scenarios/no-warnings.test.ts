// A good backup, in the shape that libvirt gives it, restores, plans, verifies and serves without a warning: a CI job may fail
// on the first one.
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  type PlanForOptions,
  planFor,
  truthOf,
  uploadBucket,
} from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';
import { type CliResult, startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BACKUP = 'backup-003';
const TOOLS = [...BACKUP_TOOLS, 'root', 'losetup', 'qemu-nbd'];
/** Where it is needed, a flag names it. */
const WITHOUT_SCRATCH: PlanForOptions = { edit: (document) => void delete document.scratch };
const STRATEGIES = ['staged', 'staged-raw', 'stream'] as const;

/** Two disks, one of which grew; the second incremental of one is empty. */
async function realBackup(t: Test): Promise<BackupForTest> {
  const root = { name: 'rootdisk', size: 16 * MiB, changes: { bytes: MiB, zero: MiB, discard: MiB } };
  const data = { name: 'data', size: 8 * MiB, resize: { 2: 12 * MiB }, at: { 3: 'nothing' } } as const;
  return await madeBackup(t, { disks: [root, data], checkpoints: 3 });
}

/** Asserts that neither the log nor the result holds a warning; gives the result where it is JSON. */
function assertQuiet(t: Test, name: string, { exitCode, stdout, stderr }: CliResult): void {
  t.equal(exitCode, 0, `${name}: ${stderr}`);
  t.notMatch(stderr, /warn/i, `${name}: no warning on stderr`);
  t.notMatch(stdout, /warning/i, `${name}: none in the result`);
}

interface Source {
  readonly flags: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

function folderSource({ directory }: BackupForTest): Source {
  return { flags: ['--source', directory], env: {} };
}

async function bucketSource(rgw: Rgw, made: BackupForTest): Promise<Source> {
  const bucket = await uploadBucket(rgw, made);
  return { flags: ['--source', `s3://${bucket}`, '--endpoint', rgw.endpoint, '--path-style'], env: rgw.env };
}

/** Every command of a careful operator, in an empty scratch folder; the result and the log in both formats. */
async function checkSource(t: Test, made: BackupForTest, { flags, env }: Source): Promise<void> {
  const options = { env: { XDG_RUNTIME_DIR: join(tempFolder(t), 'run'), ...env } };
  const quiet = async (t: Test, args: readonly string[], format = 'json'): Promise<CliResult> => {
    const run = await sharedCli([...args, '--output', format, '--log-format', format], options);
    assertQuiet(t, args.join(' '), run);
    return run;
  };
  for (const format of ['text', 'json']) {
    await quiet(t, ['list', ...flags], format);
    await quiet(t, ['list', ...flags, '--vm', 'demo/web', '--backup', BACKUP], format);
    await quiet(t, ['plan', ...flags, '--vm', 'demo/web'], format);
  }
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const device = loopDevice(t, { size: 20 * MiB });
      const file = join(tempFolder(t), 'data.img');
      const targets = ['--pvc', `rootdisk=${device.path}`, '--pvc', `data=${file}`];
      const planned = await quiet(t, ['plan', ...flags, '--vm', 'demo/web', '--backup', BACKUP, ...targets], 'text');
      const plan = join(tempFolder(t), 'plan.yaml');
      writeFileSync(plan, planned.stdout);
      const scratch = tempFolder(t);
      const restore = ['restore', plan, '--scratch', scratch, '--strategy', strategy];
      await quiet(t, [...restore, '--dry-run'], 'text');
      await quiet(t, [...restore, '--verify', 'compare']);
      t.equal(await difference(device.file, truthOf(made, BACKUP, 'rootdisk')), undefined);
      t.equal(await difference(file, truthOf(made, BACKUP, 'data')), undefined);
      await quiet(t, [...restore, '--force'], 'text');
    });
  }
  await t.test('verify', async (t) => {
    const planned = await quiet(t, ['plan', ...flags, '--vm', 'demo/web'], 'text');
    const plan = join(tempFolder(t), 'plan.yaml');
    writeFileSync(plan, planned.stdout);
    for (const format of ['text', 'json']) {
      await quiet(t, ['verify', plan], format);
      await quiet(t, ['verify', plan, '--data'], format);
      await quiet(t, ['verify', plan, '--data', '--scratch', tempFolder(t)], format);
    }
  });
}

test('from a folder', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await realBackup(t);
  await checkSource(t, made, folderSource(made));
});

test('from a bucket', async (t) => {
  if (!requires(t, ...TOOLS, ...RGW_TOOLS)) return;
  const made = await realBackup(t);
  await checkSource(t, made, await bucketSource(await startRgw(t), made));
});

test('resumed after SIGTERM, and again after success', async (t) => {
  if (!requires(t, ...TOOLS, 'mkfifo')) return;
  const made = await realBackup(t);
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const folder = tempFolder(t);
      const plan = await planFor(
        made,
        BACKUP,
        { rootdisk: join(folder, 'a.img'), data: join(folder, 'b.img') },
        WITHOUT_SCRATCH,
      );
      const env = { XDG_RUNTIME_DIR: join(folder, 'run') };
      const args = ['restore', plan, '--scratch', join(folder, 'scratch'), '--strategy', strategy];
      // What carries a streamed disk's bytes is no qemu-img: it makes the map of them.
      const [pattern, nth] = ({ staged: ['^convert', 2], 'staged-raw': ['^convert', 3], stream: ['^map', 2] } as const)[
        strategy
      ];
      const gate = gateBefore(t, pattern, { nth });
      const { child, result } = startCli(args, { env: { ...env, ...gate.env } });
      t.teardown(() => child.kill('SIGKILL'));
      await gate.reachedBefore(result);
      child.kill('SIGTERM');
      const stopped = await result;
      t.equal(stopped.exitCode, 143);
      t.notMatch(stopped.stderr, /warn/i, 'to be stopped is no reason for one');
      assertQuiet(t, 'resumed', await sharedCli([...args, '--output', 'json'], { env }));
      t.equal(await difference(join(folder, 'a.img'), truthOf(made, BACKUP, 'rootdisk')), undefined);
    });
  }
});

test('download, in the environment of the operator’s pod', async (t) => {
  if (!requires(t, ...TOOLS, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const made = await realBackup(t);
  const bucket = await uploadBucket(rgw, made);
  const folder = tempFolder(t);
  const credentials = join(folder, 'cloud');
  const keys = `aws_access_key_id = ${rgw.accessKey}\naws_secret_access_key = ${rgw.secretKey}\n`;
  writeFileSync(credentials, `[default]\n${keys}`);
  const pod = {
    KUBERNETES_SERVICE_HOST: '10.0.0.1',
    KUBEVIRT_DM_BSL_PROVIDER: 'aws',
    KUBEVIRT_DM_BSL_BUCKET: bucket,
    KUBEVIRT_DM_BSL_REGION: 'us-east-1',
    KUBEVIRT_DM_BSL_S3_URL: rgw.endpoint,
    KUBEVIRT_DM_BSL_S3_FORCE_PATH_STYLE: 'true',
    KUBEVIRT_DM_CREDENTIALS_FILE: credentials,
    KUBEVIRT_DM_VM_NAME: 'web',
    KUBEVIRT_DM_VM_NAMESPACE: 'demo',
    KUBEVIRT_DM_VELERO_BACKUP_NAME: BACKUP,
    KUBEVIRT_DM_TARGET_VOLUME: 'rootdisk',
    KUBEVIRT_DM_DATADOWNLOAD_NAME: 'dd-1',
    KUBEVIRT_DM_DATADOWNLOAD_UID: '8c1a6b0e',
  };
  await t.test('file system mode: the disk beside the layers', async (t) => {
    const scratch = tempFolder(t);
    const [path, env] = [join(scratch, 'disk.img'), { ...pod, KUBEVIRT_DM_SCRATCH_PATH: scratch }];
    assertQuiet(t, 'download', await sharedCli(['download'], { env: { ...env, KUBEVIRT_DM_TARGET_PATH: path } }));
    t.equal(await difference(path, truthOf(made, BACKUP, 'rootdisk')), undefined);
  });
  await t.test('block mode: a device that is not blank', async (t) => {
    const device = loopDevice(t, { size: 16 * MiB, fill: 0xee });
    const target = { KUBEVIRT_DM_TARGET_PATH: device.path, KUBEVIRT_DM_TARGET_IS_BLOCK_DEVICE: 'true' };
    const env = { ...pod, ...target, KUBEVIRT_DM_SCRATCH_PATH: tempFolder(t) };
    assertQuiet(t, 'download', await sharedCli(['download'], { env }));
    t.equal(await difference(device.file, truthOf(made, BACKUP, 'rootdisk')), undefined);
  });
});

/** What runs beside a restore, in the same scratch and runtime folders, each until the test has seen enough. */
test('beside other commands that are running', async (t) => {
  if (!requires(t, ...TOOLS, 'mkfifo')) return;
  const made = await realBackup(t);
  const folder = tempFolder(t);
  const scratch = join(folder, 'scratch');
  mkdirSync(scratch);
  // No other runtime folder is to be had: both kinds of folder are in scratch.
  const env = { XDG_RUNTIME_DIR: scratch, TMPDIR: scratch };
  const others: Record<string, () => Promise<{ end: () => Promise<CliResult> }>> = {
    serve: async () => {
      const plan = await planFor(made, BACKUP, { rootdisk: '/dev/no-such-target' }, WITHOUT_SCRATCH);
      const { child, result } = startCli(['serve', plan, '--socket', join(folder, 'disk.sock')], { env });
      t.teardown(() => child.kill('SIGKILL'));
      if (child.stdout === null) throw new TypeError('stdout is no pipe');
      await once(createInterface({ input: child.stdout }), 'line');
      return {
        end: async () => {
          child.kill('SIGINT');
          return await result;
        },
      };
    },
    'verify --data in scratch': () => heldAt('^check', ['verify', '--data', '--scratch', scratch]),
    'verify --data in memory': () => heldAt('^check', ['verify', '--data']),
    'restore of another plan': () => heldAt('^rebase', ['restore', '--scratch', scratch]),
    'streamed restore of another plan': () => heldAt('^map', ['restore', '--strategy', 'stream']),
  };
  const heldAt = async (pattern: string, [command = '', ...flags]: readonly string[]) => {
    const plan = await planFor(made, BACKUP, { rootdisk: join(folder, `${crypto.randomUUID()}.img`) }, WITHOUT_SCRATCH);
    const gate = gateBefore(t, pattern);
    const { child, result } = startCli([command, plan, ...flags], { env: { ...env, ...gate.env } });
    t.teardown(() => child.kill('SIGKILL'));
    await gate.reachedBefore(result);
    return {
      end: async () => {
        gate.open();
        return await result;
      },
    };
  };
  for (const [name, start] of Object.entries(others)) {
    await t.test(name, async (t) => {
      const other = await start();
      for (const strategy of STRATEGIES) {
        const target = join(folder, `${crypto.randomUUID()}.img`);
        const plan = await planFor(made, BACKUP, { rootdisk: target }, WITHOUT_SCRATCH);
        const run = await sharedCli(['restore', plan, '--scratch', scratch, '--strategy', strategy], { env });
        assertQuiet(t, strategy, run);
        t.notMatch(run.stderr, /another plan/, 'nor is the other one mentioned');
      }
      assertQuiet(t, name, await other.end());
    });
  }
});
