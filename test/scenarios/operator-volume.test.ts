// `download` in the volume that the operator gives its own pod: the layers' sizes and a fifth, at least 1 GiB, of which the file
// system takes its part. Where the operator's own steps succeed there, so does this program.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { chainOf } from '../../scripts/lib/make-backup/make.ts';
import { GiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, truthOf, uploadBucket } from '../helpers/backup.ts';
import { command, type Outcome } from '../helpers/command.ts';
import { fileSystem, MOUNT_TOOLS } from '../helpers/file-system.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';
import { cleanEnvironment, programPath } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const DISK = 'rootdisk';
const SIZE = 64 * MiB;
const CHECKPOINTS = 15;
const BACKUP = `backup-0${CHECKPOINTS}`;
const NOBODY = 65_534;

/** Every layer rewrites nearly all of a small disk: together they are 14 times as large, and more than 1 GiB with a fifth. */
async function rewrittenDisk(t: Test): Promise<BackupForTest> {
  const writes = { bytes: 62 * MiB, pattern: 'runs' } as const;
  const disk = { name: DISK, size: SIZE, initial: writes, changes: writes };
  return await madeBackup(t, { disks: [disk], checkpoints: CHECKPOINTS });
}

/** What the controller asks for. */
function operatorVolume(sizes: readonly number[]): number {
  const sum = sizes.reduce((total, size) => total + size, 0);
  return Math.max(GiB, sum + Math.ceil(sum / 5));
}

/** The operator's own steps: every layer, a rebase link by link, one convert. Rejects where they fail. */
function operatorSteps(scratch: string, layers: readonly string[], target: string): void {
  const own = layers.map((path, index) => {
    const copy = join(scratch, `${index}.qcow2`);
    execFileSync('cp', ['--sparse=never', path, copy]);
    return copy;
  });
  for (const [index, path] of own.entries()) {
    if (index === 0) continue;
    execFileSync('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', own[index - 1] ?? '', path]);
  }
  execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', own.at(-1) ?? '', target]);
  execFileSync('sync', ['-f', scratch]);
  for (const path of own) rmSync(path);
}

interface Case {
  readonly format: readonly [string, ...string[]];
  readonly uid: number;
  readonly target: 'device' | 'file';
}

const CASES: Record<string, Case> = {
  'ext4, as root': { format: ['mkfs.ext4', '-q'], uid: 0, target: 'device' },
  'ext4, as another user': { format: ['mkfs.ext4', '-q'], uid: NOBODY, target: 'device' },
  'ext4 without a reserve, and the raw file beside': {
    format: ['mkfs.ext4', '-q', '-m', '0'],
    uid: NOBODY,
    target: 'file',
  },
  'xfs, and the raw file beside': { format: ['mkfs.xfs', '-q'], uid: NOBODY, target: 'file' },
};

test('download in the volume that the operator makes', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, ...MOUNT_TOOLS, 'mkfs.ext4', 'mkfs.xfs')) return;
  const rgw = await startRgw(t);
  const made = await rewrittenDisk(t);
  const bucket = await uploadBucket(rgw, made);
  const layers = chainOf(made, BACKUP, DISK);
  const sum = layers.reduce((total, { size }) => total + size, 0);
  const size = operatorVolume(layers.map((layer) => layer.size));
  t.ok(size > GiB, `a volume of ${size} bytes for ${sum} bytes of layers`);
  for (const [name, { format, uid, target }] of Object.entries(CASES)) {
    await t.test(name, async (t) => {
      const scratch = fileSystem(t, { size, format });
      chownSync(scratch, uid, uid);
      const device = target === 'device' ? ownedDevice(t, uid) : undefined;
      const path = device?.path ?? join(scratch, 'disk.img');
      operatorSteps(
        scratch,
        layers.map((layer) => layer.path),
        path,
      );
      rmSync(join(scratch, 'disk.img'), { force: true });
      const run = await download({ uid, env: environment(t, { rgw, bucket, made, path, scratch }) });
      t.equal(run.status, 0, run.stderr);
      t.match(run.stderr, new RegExp(`warning: .* at least .*\\(${sum} bytes\\), up to .* with 15 % headroom`));
      const restored = device?.file ?? path;
      if (device !== undefined) execFileSync('blockdev', ['--flushbufs', device.path]);
      t.equal(await difference(restored, truthOf(made, BACKUP, DISK)), undefined);
      const left = readdirSync(scratch).filter((entry) => !['lost+found', 'disk.img'].includes(entry));
      t.strictSame(left, [], 'nothing is left in scratch');
    });
  }
  await t.test('a volume smaller than the layers is refused before anything is fetched', async (t) => {
    const scratch = fileSystem(t, { size: sum, format: ['mkfs.ext4', '-q'] });
    const { path } = ownedDevice(t, 0);
    const env = environment(t, { rgw, bucket, made, path, scratch });
    const run = await download({ uid: 0, env });
    t.equal(run.status, 5);
    t.match(run.stderr, new RegExp(`SCRATCH_FULL: .* needs .*\\(${sum} bytes\\), .*\\(\\d+ bytes\\) available`));
    t.strictSame(readdirSync(scratch), ['lost+found']);
  });
});

/** A device that a user may open; the kernel gives its number to others later, so that the owner is put back. */
function ownedDevice(t: Test, uid: number): ReturnType<typeof loopDevice> {
  const device = loopDevice(t, { size: SIZE });
  const { uid: owner, mode } = statSync(device.path);
  chownSync(device.path, uid, -1);
  chmodSync(device.path, 0o600);
  t.teardown(() => {
    chownSync(device.path, owner, -1);
    chmodSync(device.path, mode & 0o777);
  });
  return device;
}

interface Pod {
  readonly rgw: Rgw;
  readonly bucket: string;
  readonly made: BackupForTest;
  readonly path: string;
  readonly scratch: string;
}

/** The environment of the operator's download pod. */
function environment(t: Test, { rgw, bucket, made, path, scratch }: Pod): NodeJS.ProcessEnv {
  const folder = tempFolder(t);
  chmodSync(folder, 0o755);
  const credentials = join(folder, 'cloud');
  const keys = [`aws_access_key_id = ${rgw.accessKey}`, `aws_secret_access_key = ${rgw.secretKey}`];
  writeFileSync(credentials, `[default]\n${keys.join('\n')}\n`);
  return {
    KUBEVIRT_DM_BSL_PROVIDER: 'aws',
    KUBEVIRT_DM_BSL_BUCKET: bucket,
    KUBEVIRT_DM_BSL_PREFIX: made.prefix,
    KUBEVIRT_DM_BSL_REGION: rgw.region,
    KUBEVIRT_DM_BSL_S3_URL: rgw.endpoint,
    KUBEVIRT_DM_BSL_S3_FORCE_PATH_STYLE: 'true',
    KUBEVIRT_DM_CREDENTIALS_FILE: credentials,
    KUBEVIRT_DM_VM_NAME: made.vm,
    KUBEVIRT_DM_VM_NAMESPACE: made.namespace,
    KUBEVIRT_DM_VELERO_BACKUP_NAME: BACKUP,
    KUBEVIRT_DM_TARGET_VOLUME: DISK,
    KUBEVIRT_DM_TARGET_PATH: path,
    KUBEVIRT_DM_SCRATCH_PATH: scratch,
  };
}

async function download({ uid, env }: { readonly uid: number; readonly env: NodeJS.ProcessEnv }): Promise<Outcome> {
  const user = ['--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups', '--'];
  const words = ['env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), 'download'];
  return await command('setpriv', [...user, ...words], { env: cleanEnvironment(env) });
}
