// The image as a careful cluster runs it: read-only root, any uid, no capability, a scratch volume, a device handed in.
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { parseAllDocuments, stringify } from 'yaml';
import { z } from 'zod';
import { MiB } from '../../src/units.ts';
import { mustRun, type Outcome } from '../helpers/command.ts';
import { buildImage, CONTAINER_TOOLS, deviceNode, type Image, podFolder, RESTRICTED } from '../helpers/container.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { startPeer } from '../helpers/peer.ts';
import { podArguments } from '../helpers/pod.ts';
import { type PrivateNetwork, privateNetwork } from '../helpers/private-network.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';
import { runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const CONFIG_MAP = z.object({ metadata: z.object({ name: z.string() }), data: z.record(z.string(), z.string()) });
const ROOT_SIZE = 64 * MiB;
const DATA_SIZE = 32 * MiB;

test('the image', async (t) => {
  if (!requires(t, ...CONTAINER_TOOLS, ...RGW_TOOLS, 'losetup', 'qemu-img', 'ip')) return;
  const [image, rgw] = await Promise.all([buildImage(t), startRgw(t)]);
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, join(FIXTURES, 'bucket'));
  const network = await privateNetwork(t, rgw.endpoint);
  const context: Context = { image, rgw, bucket, network };

  await t.test('starts for any uid on a read-only root, without a network', (t) => startsAnywhere(t, context));
  await t.test('holds what runs, and nothing else', (t) => holdsWhatRuns(t, context));
  await t.test('sees no server but that of the bucket', (t) => seesOneServer(t, context));
  await t.test('restores onto a device handed in, and compares', (t) => restoresOntoDevice(t, context));
  await t.test('restores as root without capabilities onto a device that is for root only', (t) => asRoot(t, context));
  await t.test('streams with nothing but a little memory to write to', (t) => streams(t, context));
  await t.test('leaves its last words where Kubernetes reads them', (t) => leavesLastWords(t, context));
  await t.test('ends on podman stop in the middle of a download', (t) => endsOnStop(t, context));
  await t.test("is a drop-in for the operator's download pod", (t) => isDropIn(t, context));
  await t.test('restores from what `manifest` prints', (t) => runsManifest(t, context));
});

interface Context {
  readonly image: Image;
  readonly rgw: Rgw;
  readonly bucket: string;
  /** Where the S3 server is, and nothing else. */
  readonly network: PrivateNetwork;
}

async function startsAnywhere(t: Test, { image }: Context): Promise<void> {
  const { status, stdout } = await image.podman(
    'run',
    '--rm',
    '--network=none',
    ...RESTRICTED,
    image.name,
    '--version',
  );
  t.equal(status, 0);
  t.match(stdout, /^kubevirt-datamover \d+\.\d+\.\d+\n$/);
}

async function holdsWhatRuns(t: Test, { image }: Context): Promise<void> {
  const look = 'ls /opt/kubevirt-datamover; du -sm /opt; id -u; ls -A /var/lib/apt/lists';
  const { stdout } = await image.podman(
    'run',
    '--rm',
    '--network=none',
    '--entrypoint=/bin/sh',
    image.name,
    '-c',
    look,
  );
  t.match(stdout, /^LICENSE\nbin\ndist\npackage\.json\n\d/);
  const size = Number(/^(\d+)\s+\/opt$/m.exec(stdout)?.[1]);
  t.ok(size > 1 && size < 10, `the program and its packages take ${size} MiB`);
  t.match(stdout, /^65532$\s*$/m, 'not root, and no package lists after it');
}

async function seesOneServer(t: Test, { image, network: { flag } }: Context): Promise<void> {
  const look = 'cat /proc/net/dev; cat /proc/net/route; grep -c " 0A " /proc/net/tcp';
  const { stdout } = await image.podman('run', '--rm', flag, '--entrypoint=/bin/sh', image.name, '-c', look);
  const devices = Array.from(stdout.matchAll(/^ *(\w+): /gm), ([, name]) => name);
  t.strictSame(devices, ['lo'], 'no way out');
  t.match(stdout, /^1$/m, 'one port that listens');
}

async function restoresOntoDevice(t: Test, context: Context): Promise<void> {
  const { image } = context;
  const loop = loopDevice(t, { size: ROOT_SIZE + MiB });
  const scratch = podFolder(t);
  const plan = planFile(t, context, { rootdisk: '/dev/target' });
  const device = `--device=${await deviceNode(t, loop.path)}:/dev/target`;
  const flags = [...network(context), ...RESTRICTED, ...plan, `--volume=${scratch}:/scratch`, device];
  const command = ['restore', '/plan/plan.yaml', '--verify=compare', '--output=json'];
  const { status, stdout, stderr } = await image.podman('run', '--rm', ...flags, image.name, ...command);
  t.equal(status, 0, stderr);
  const result = { name: 'rootdisk', state: 'restored', verified: true };
  t.match(JSON.parse(stdout), { result: 'ok', pvcs: [result] });
  for (const line of stderr.trim().split('\n')) t.match(JSON.parse(line), { level: /./, time: /./ }, 'the log is JSON');
  t.equal(await sumOf(loop.path, ROOT_SIZE), trueSum('cp-004/rootdisk.raw'));
  t.strictSame(readdirSync(scratch), []);
}

async function asRoot(t: Test, context: Context): Promise<void> {
  const { image } = context;
  const loop = loopDevice(t, { size: ROOT_SIZE });
  const plan = planFile(t, context, { rootdisk: '/dev/target' });
  const user = RESTRICTED.map((flag) => (flag.startsWith('--user') ? '--user=0:0' : flag));
  const flags = [...network(context), ...user, ...plan, `--volume=${podFolder(t)}:/scratch`];
  const device = `--device=${loop.path}:/dev/target`;
  const ran = await image.podman('run', '--rm', ...flags, device, image.name, 'restore', '/plan/plan.yaml');
  t.equal(ran.status, 0, ran.stderr);
  t.equal(await sumOf(loop.path, ROOT_SIZE), trueSum('cp-004/rootdisk.raw'));
}

async function streams(t: Test, context: Context): Promise<void> {
  const { image } = context;
  const loop = loopDevice(t, { size: ROOT_SIZE });
  const plan = planFile(t, context, { rootdisk: '/dev/target' });
  const memory = '--tmpfs=/run/kubevirt-datamover:rw,mode=1777,size=64m';
  const device = `--device=${await deviceNode(t, loop.path)}:/dev/target`;
  const flags = [...network(context), ...RESTRICTED, ...plan, memory, device];
  const command = ['restore', '/plan/plan.yaml', '--strategy=stream'];
  const ran = await image.podman('run', '--rm', ...flags, image.name, ...command);
  t.equal(ran.status, 0, ran.stderr);
  t.equal(await sumOf(loop.path, ROOT_SIZE), trueSum('cp-004/rootdisk.raw'));
}

async function leavesLastWords(t: Test, context: Context): Promise<void> {
  const { image } = context;
  const loop = loopDevice(t, { size: ROOT_SIZE / 2 });
  const plan = planFile(t, context, { rootdisk: '/dev/target' });
  const words = join(tempFolder(t), 'termination-log');
  writeFileSync(words, '');
  chmodSync(words, 0o666);
  const mounts = [`--volume=${podFolder(t)}:/scratch`, `--volume=${words}:/dev/termination-log`];
  const device = `--device=${await deviceNode(t, loop.path)}:/dev/target`;
  const flags = [...network(context), ...RESTRICTED, ...plan, ...mounts, device];
  const ran = await image.podman('run', '--rm', ...flags, image.name, 'restore', '/plan/plan.yaml');
  t.equal(ran.status, 6, ran.stderr);
  t.match(readFileSync(words, 'utf8'), /^TARGET_TOO_SMALL: rootdisk: .*\nhint: /);
  t.equal(await sumOf(loop.path, ROOT_SIZE / 2), await sumOf('/dev/zero', ROOT_SIZE / 2), 'the target is untouched');
}

async function endsOnStop(t: Test, context: Context): Promise<void> {
  const { image, rgw } = context;
  const loop = loopDevice(t, { size: ROOT_SIZE });
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const stalled = new Promise<void>((resolve) => {
    peer.plan = ({ method, path, range }) => {
      // A read as long as this is no look at a header: it is the download.
      const long = range !== undefined && range.last - range.first > MiB / 4;
      if (method !== 'GET' || !path.endsWith('vmb-001-rootdisk.qcow2') || !long) return undefined;
      resolve();
      return { kind: 'stall', after: 4096 };
    };
  });
  const behind = { ...context, network: await privateNetwork(t, peer.endpoint) };
  const plan = planFile(t, behind, { rootdisk: '/dev/target' });
  const device = `--device=${await deviceNode(t, loop.path)}:/dev/target`;
  const flags = [...network(behind), ...RESTRICTED, ...plan, `--volume=${podFolder(t)}:/scratch`, device];
  await image.podman('run', '--detach', '--name=stopped', ...flags, image.name, 'restore', '/plan/plan.yaml');
  // Had it ended before, waiting for the download would be for ever.
  await Promise.race([stalled, image.podman('wait', 'stopped')]);
  t.match(await image.podman('stop', '--time=30', 'stopped'), { status: 0 });
  const { stdout } = await image.podman('inspect', '--format={{.State.ExitCode}}', 'stopped');
  t.equal(stdout.trim(), '143', 'ended by itself, not killed after the grace');
  t.match((await image.podman('logs', 'stopped')).stderr, /CANCELLED/);
  t.equal(await sumOf(loop.path, ROOT_SIZE), await sumOf('/dev/zero', ROOT_SIZE), 'the target is untouched');
}

async function isDropIn(t: Test, context: Context): Promise<void> {
  const { image, rgw, bucket, network } = context;
  const loop = loopDevice(t, { size: DATA_SIZE, fill: 0xff });
  const environment = {
    BSL_PROVIDER: 'aws',
    BSL_BUCKET: bucket,
    BSL_REGION: rgw.region,
    BSL_S3_URL: network.endpoint,
    BSL_S3_FORCE_PATH_STYLE: 'true',
    VM_NAME: 'web',
    VM_NAMESPACE: 'demo',
    VELERO_BACKUP_NAME: 'backup-002',
    TARGET_VOLUME: 'datadisk',
    TARGET_PATH: '/dev/restore-output',
    TARGET_IS_BLOCK_DEVICE: 'true',
  };
  const env = Object.entries(environment).map(([name, value]) => `--env=KUBEVIRT_DM_${name}=${value}`);
  const volumes = [`--volume=${credentials(t, context)}:/credentials:ro`, `--volume=${podFolder(t)}:/scratch`];
  const device = `--device=${loop.path}:/dev/restore-output`;
  const flags = [network.flag, '--user=0', ...env, ...volumes, device, '--entrypoint=/manager'];
  const ran = await image.podman('run', '--rm', ...flags, image.name, 'download');
  t.equal(ran.status, 0, ran.stderr);
  t.equal(await sumOf(loop.path, DATA_SIZE), trueSum('cp-002/datadisk.raw'));
}

async function runsManifest(t: Test, context: Context): Promise<void> {
  const { image, network } = context;
  const folder = tempFolder(t);
  const loop = loopDevice(t, { size: ROOT_SIZE });
  const files = podFolder(t);
  const plan = writePlan(folder, context, { rootdisk: '/dev/disks/root', datadisk: '/target/disk.img' });
  const flags = ['--image', image.name, '--secret=keys', '--scratch-size=1Gi', '--target-pvc=datadisk=web-data'];
  const { stdout, exitCode, stderr } = await runCli(['manifest', plan, ...flags]);
  t.equal(exitCode, 0, stderr);
  const [first, ...jobs] = Array.from(parseAllDocuments(stdout), (document): unknown => document.toJS());
  t.equal(jobs.length, 2);
  const configMap = CONFIG_MAP.parse(first);
  const cluster = {
    folder,
    configMaps: new Map([[configMap.metadata.name, configMap.data]]),
    secrets: new Map([['keys', credentials(t, context)]]),
    claims: new Map([
      ['rootdisk', await deviceNode(t, loop.path)],
      ['web-data', files],
    ]),
  };
  for (const job of jobs) {
    const ran: Outcome = await image.podman('run', '--rm', network.flag, ...podArguments(job, cluster));
    t.equal(ran.status, 0, ran.stderr);
  }
  t.equal(await sumOf(loop.path, ROOT_SIZE), trueSum('cp-004/rootdisk.raw'));
  t.equal(await sumOf(join(files, 'disk.img'), DATA_SIZE), trueSum('cp-004/datadisk.raw'));
}

/** The S3 server's network and keys; the variable is what tells a program that this is a pod. */
function network({ rgw, network: { flag } }: Context): string[] {
  const env = { ...rgw.env, KUBERNETES_SERVICE_HOST: '10.0.0.1' };
  return [flag, ...Object.entries(env).map(([name, value]) => `--env=${name}=${value}`)];
}

function planFile(t: Test, context: Context, targets: Readonly<Record<string, string>>): string[] {
  const folder = podFolder(t);
  writePlan(folder, context, targets);
  return [`--volume=${folder}:/plan:ro`];
}

function writePlan(
  folder: string,
  { rgw, bucket, network: { endpoint } }: Context,
  targets: Readonly<Record<string, string>>,
): string {
  const path = join(folder, 'plan.yaml');
  const source = { s3: { bucket, endpoint, region: rgw.region, forcePathStyle: true } };
  const pvcs = Object.entries(targets).map(([name, target]) => ({ name, target }));
  writeFileSync(path, stringify({ version: 1, source, backup: 'backup-004', vm: 'demo/web', pvcs }));
  return path;
}

/** A folder as a mounted Secret is: the key `cloud`, readable by the pod's group. */
function credentials(t: Test, { rgw }: Context): string {
  const folder = podFolder(t);
  const text = `[default]\naws_access_key_id = ${rgw.accessKey}\naws_secret_access_key = ${rgw.secretKey}\n`;
  writeFileSync(join(folder, 'cloud'), text, { mode: 0o440 });
  return folder;
}

/** SHA-256 of the first `size` bytes, by another program. */
async function sumOf(path: string, size: number): Promise<string> {
  const sum = await mustRun('sh', ['-c', 'head -c "$2" "$1" | sha256sum', 'sh', path, String(size)]);
  return sum.slice(0, 64);
}

/** What the true disk was at a checkpoint, by the list that was made beside the backup. */
function trueSum(disk: string): string {
  const line = readFileSync(join(FIXTURES, 'SHA256SUMS'), 'utf8')
    .split('\n')
    .find((each) => each.endsWith(`  ${disk}`));
  if (line === undefined) throw new Error(`no sum of ${disk}`);
  return line.slice(0, 64);
}
