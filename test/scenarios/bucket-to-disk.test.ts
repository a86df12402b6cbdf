// What people and pods have is a bucket: list → plan → restore, download, and verify, on both kinds of source.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { KiB, MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  planFor,
  truthOf,
  uploadBucket,
} from '../helpers/backup.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';

const listing = z.object({
  backups: z.array(z.object({ name: z.string() })),
  vms: z.array(
    z.object({
      disks: z.array(
        z.object({ name: z.string(), checkpoints: z.array(z.object({ id: z.string(), state: z.string() })) }),
      ),
    }),
  ),
  problems: z.array(z.unknown()),
});

/** Five backups; the data disk appears with the third, which is a full one. */
async function history(t: Test): Promise<BackupForTest> {
  return await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 12 * MiB, pvc: 'web-root' },
      { name: 'datadisk-1', size: 8 * MiB, from: 3 },
    ],
    checkpoints: 5,
    fullEvery: 2,
    prefix: 'velero-kubevirt-datamover',
  });
}

async function everyBackup(t: Test, made: BackupForTest, source: string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  const listed = await sharedCli(['list', ...source, '--output', 'json'], { env });
  t.equal(listed.exitCode, 0, listed.stderr);
  const { backups, vms, problems } = listing.parse(JSON.parse(listed.stdout));
  t.strictSame(problems, []);
  t.strictSame(
    vms[0]?.disks.map(({ name, checkpoints }) => [name, checkpoints.map(({ state }) => state)]),
    [
      ['rootdisk', ['restorable', 'restorable', 'restorable', 'restorable', 'restorable']],
      ['datadisk-1', ['restorable', 'restorable', 'restorable']],
    ],
  );
  for (const { name } of backups) {
    await t.test(name, async (t) => {
      const disks = made.checkpoints.find(({ backup }) => backup === name)?.layers.map(({ disk }) => disk) ?? [];
      const targets = disks.map((disk) => ({ disk, path: join(made.folder, `${crypto.randomUUID()}.raw`) }));
      const wanted = targets.flatMap(({ disk, path }) => ['--pvc', `${disk}=${path}`]);
      const plan = await sharedCli(['plan', ...source, '--vm', 'demo/web', '--backup', name, ...wanted], { env });
      t.equal(plan.exitCode, 0, plan.stderr);
      const scratch = ['--scratch', join(made.folder, 'scratch')];
      const run = await sharedCli(['restore', '-', ...scratch], { env, stdin: plan.stdout });
      t.equal(run.exitCode, 0, run.stderr);
      for (const { disk, path } of targets) {
        t.equal(await difference(path, truthOf(made, name, disk)), undefined, `${disk} is identical`);
        rmSync(path, { force: true });
      }
    });
  }
}

test('every backup of a history, in a folder', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await history(t);
  await everyBackup(t, made, ['--source', made.directory]);
});

test('every backup of a history, on a real S3 server', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const made = await history(t);
  const bucket = await uploadBucket(rgw, made);
  const source = ['--source', `s3://${bucket}/${made.prefix}`, '--endpoint', rgw.endpoint, '--path-style'];
  await everyBackup(t, made, source, rgw.env);
});

/** The environment of the operator's download pod. */
function podEnvironment(rgw: Rgw, bucket: string, made: BackupForTest, path: string): NodeJS.ProcessEnv {
  const credentials = join(made.folder, 'cloud');
  writeFileSync(
    credentials,
    `[default]\naws_access_key_id = ${rgw.accessKey}\naws_secret_access_key = ${rgw.secretKey}\n`,
  );
  return {
    KUBEVIRT_DM_BSL_PROVIDER: 'aws',
    KUBEVIRT_DM_BSL_BUCKET: bucket,
    KUBEVIRT_DM_BSL_PREFIX: made.prefix,
    KUBEVIRT_DM_BSL_REGION: 'us-east-1',
    KUBEVIRT_DM_BSL_S3_URL: rgw.endpoint,
    KUBEVIRT_DM_BSL_S3_FORCE_PATH_STYLE: 'true',
    KUBEVIRT_DM_CREDENTIALS_FILE: credentials,
    KUBEVIRT_DM_VM_NAME: 'web',
    KUBEVIRT_DM_VM_NAMESPACE: 'demo',
    KUBEVIRT_DM_VELERO_BACKUP_NAME: 'backup-004',
    KUBEVIRT_DM_TARGET_VOLUME: 'rootdisk',
    KUBEVIRT_DM_TARGET_PATH: path,
    KUBEVIRT_DM_SCRATCH_PATH: join(made.folder, 'scratch'),
    KUBEVIRT_DM_DATADOWNLOAD_NAME: 'dd-1',
    KUBEVIRT_DM_BSL_CHECKSUM_ALGORITHM: '',
  };
}

test('download restores with nothing but the environment', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, 'root', 'losetup')) return;
  const rgw = await startRgw(t);
  const made = await history(t);
  const bucket = await uploadBucket(rgw, made);
  const truth = truthOf(made, 'backup-004', 'rootdisk');
  await t.test('onto a block device that is not blank', async (t) => {
    const device = loopDevice(t, { size: 12 * MiB, fill: 0xee });
    const env = { ...podEnvironment(rgw, bucket, made, device.path), KUBEVIRT_DM_TARGET_IS_BLOCK_DEVICE: 'true' };
    const { exitCode, stderr } = await sharedCli(['download'], { env });
    t.equal(exitCode, 0, stderr);
    t.equal(await difference(device.file, truth), undefined);
  });
  await t.test('onto a file whose folder is not there', async (t) => {
    const path = join(made.folder, 'restore-data/deep/disk.raw');
    const { exitCode, stderr } = await sharedCli(['download'], { env: podEnvironment(rgw, bucket, made, path) });
    t.equal(exitCode, 0, stderr);
    t.equal(await difference(path, truth), undefined);
    t.equal(statSync(join(made.folder, 'restore-data')).mode & 0o777, 0o700);
  });
  await t.test("onto the virtual machine's own file beside the scratch files, whose owner and mode stay", async (t) => {
    const path = join(made.folder, 'scratch', 'disk.img');
    mkdirSync(join(made.folder, 'scratch'), { recursive: true });
    writeFileSync(path, 'old');
    chmodSync(path, 0o660);
    chownSync(path, 107, 107);
    const { exitCode, stderr } = await sharedCli(['download'], { env: podEnvironment(rgw, bucket, made, path) });
    t.equal(exitCode, 0, stderr);
    t.notMatch(stderr, /warning/);
    t.equal(await difference(path, truth), undefined);
    const { uid, gid, mode } = statSync(path);
    t.strictSame([uid, gid, mode & 0o7777], [107, 107, 0o660]);
  });
  await t.test('asked for a disk by the name of its PVC', async (t) => {
    const path = join(made.folder, 'by-pvc.img');
    const env = { ...podEnvironment(rgw, bucket, made, path), KUBEVIRT_DM_TARGET_VOLUME: 'web-root' };
    const { exitCode, stderr } = await sharedCli(['download'], { env });
    t.equal(exitCode, 0, stderr);
    t.equal(await difference(path, truth), undefined);
  });
  await t.test('a variable is missing', async (t) => {
    const env = { ...podEnvironment(rgw, bucket, made, '/x/y.raw'), KUBEVIRT_DM_VM_NAME: '' };
    const { exitCode, stderr } = await sharedCli(['download'], { env });
    t.equal(exitCode, 2);
    t.match(stderr, /USAGE.*KUBEVIRT_DM_VM_NAME/s);
  });
  await t.test('the backup is not there', async (t) => {
    const path = join(made.folder, 'none.raw');
    const env = { ...podEnvironment(rgw, bucket, made, path), KUBEVIRT_DM_VELERO_BACKUP_NAME: 'backup-04' };
    const { exitCode, stderr } = await sharedCli(['download'], { env });
    t.equal(exitCode, 3);
    t.match(stderr, /BACKUP_NOT_FOUND.*backup-004/s);
    t.notOk(existsSync(path));
  });
});

const verdicts = z.object({
  result: z.string(),
  pvcs: z.array(z.object({ name: z.string(), verdict: z.string(), problems: z.array(z.object({ code: z.string() })) })),
});

interface Damage {
  readonly code: string;
  readonly damage: (layers: readonly string[], made: BackupForTest) => void | Promise<void>;
  /** Only reading everything can show it. */
  readonly data?: true;
  readonly chains?: 'looked-up';
}

const swap = (a: string, b: string): void => {
  const [first, second] = [readFileSync(a), readFileSync(b)];
  writeFileSync(a, second);
  writeFileSync(b, first);
};

/** Flips a bit of the offset in the first L2 entry that has one. */
async function flipL2(path: string): Promise<void> {
  const bytes = readFileSync(path);
  const l1 = Number(bytes.readBigUInt64BE(40));
  const l2 = Number(bytes.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
  let entry = l2;
  while (bytes.readBigUInt64BE(entry) === 0n) entry += 8;
  const file = await open(path, 'r+');
  await file.write(Uint8Array.of((bytes[entry + 5] ?? 0) ^ 1), 0, 1, entry + 5);
  await file.close();
}

const DAMAGES: Record<string, Damage> = {
  'one layer deleted': { code: 'OBJECT_MISSING', damage: ([, second = '']) => rmSync(second) },
  'a layer cut by one byte': {
    code: 'SIZE_MISMATCH',
    damage: ([, second = '']) => truncateSync(second, statSync(second).size - 1),
  },
  'one bit of an L2 table flipped': {
    code: 'IMAGE_CORRUPT',
    data: true,
    damage: async ([base = '']) => await flipL2(base),
  },
  'layers swapped': { code: 'SIZE_MISMATCH', damage: ([base = '', second = '']) => swap(base, second) },
  'the index edited': {
    code: 'CHAIN_BROKEN',
    chains: 'looked-up',
    damage: (_, made) => {
      const path = join(made.directory, 'checkpoints/demo/web/index.json');
      const [first, , third] = made.checkpoints.map(({ id }) => `"parent": "${id}"`);
      writeFileSync(path, readFileSync(path, 'utf8').replace(first ?? '', third ?? ''));
    },
  },
};

test('verify finds each single damage, and none in a good bucket', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const shape = { disks: [{ name: 'rootdisk', size: 8 * MiB }] as const, checkpoints: 3 };
  const verify = async (made: BackupForTest, chains: 'written' | 'looked-up', data: boolean) => {
    const plan = await planFor(made, 'backup-003', { rootdisk: '/dev/nowhere' }, { chains });
    return async () => {
      const args = ['verify', plan, '--output', 'json', ...(data ? ['--data'] : [])];
      const { exitCode, stdout } = await sharedCli(args);
      return { exitCode, ...verdicts.parse(JSON.parse(stdout)) };
    };
  };
  await t.test('a good bucket', async (t) => {
    const made = await madeBackup(t, shape);
    for (const data of [false, true]) {
      const run = await (await verify(made, 'looked-up', data))();
      t.match(run, { exitCode: 0, result: 'ok', pvcs: [{ verdict: 'ok', problems: [] }] });
    }
  });
  for (const [name, { code, damage, data = false, chains = 'written' }] of Object.entries(DAMAGES)) {
    await t.test(name, async (t) => {
      const made = await madeBackup(t, shape);
      const check = await verify(made, chains, data);
      await damage(
        made.checkpoints.map(({ layers }) => layers[0]?.path ?? ''),
        made,
      );
      const run = await check();
      t.match(run, { result: 'failed', pvcs: [{ name: 'rootdisk', verdict: 'broken' }] });
      t.equal(run.pvcs[0]?.problems[0]?.code, code);
      t.not(run.exitCode, 0);
    });
  }
});

test('verify reads less than 1 MiB of each layer without --data', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 32 * MiB }], checkpoints: 3 });
  const bucket = await uploadBucket(rgw, made);
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const plan = await planFor(
    made,
    'backup-003',
    { rootdisk: '/dev/nowhere' },
    {
      s3: { rgw: { ...rgw, endpoint: peer.endpoint }, bucket },
    },
  );
  const { exitCode, stderr } = await sharedCli(['verify', plan], { env: rgw.env });
  t.equal(exitCode, 0, stderr);
  for (const { layers } of made.checkpoints) {
    const bytes = peer.bytes(layers[0]?.object ?? '');
    t.ok(bytes > 0 && bytes < 64 * KiB, `${layers[0]?.object}: ${bytes} bytes`);
  }
});
