// What is handed out: the npm package, and the one file for emergencies on a machine that has qemu-utils and no Node.
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { stringify } from 'yaml';
import { KiB, MiB } from '../../src/units.ts';
import { command, mustRun } from '../helpers/command.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ROOTDISK_SUM = '0bc1eb8adbcda0b8267b0cbc949a8cb636e53681a535d312d02dd9eb1db54d7a';

test('what scripts/package makes', async (t) => {
  if (!requires(t, 'npm', 'sha256sum')) return;
  const made = tempFolder(t);
  await mustRun(join(ROOT, 'scripts/package'), [made]);
  await t.test('is four files', async (t) => {
    t.match(readdirSync(made).sort(), [
      'SHA256SUMS',
      /^kubevirt-datamover-\d+\.\d+\.\d+\.tgz$/,
      'kubevirt-datamover-linux-x64',
      'kubevirt-datamover-linux-x64.licenses.txt',
    ]);
    await mustRun('sha256sum', ['--check', 'SHA256SUMS'], { cwd: made });
    const licenses = readFileSync(join(made, 'kubevirt-datamover-linux-x64.licenses.txt'), 'utf8');
    for (const name of ['@aws-sdk/client-s3', 'commander', 'execa', 'zod', 'Node.js']) t.match(licenses, name);
  });
  await t.test('as an npm package installs and runs', (t) => installs(t, made));
  await t.test('as one file restores where there is no Node', (t) => restoresWithoutNode(t, made));
});

async function installs(t: Test, made: string): Promise<void> {
  const tarball = join(made, readdirSync(made).find((name) => name.endsWith('.tgz')) ?? '');
  t.ok(statSync(tarball).size < 500 * KiB, `${statSync(tarball).size} bytes`);
  const files = (await mustRun('tar', ['-tf', tarball])).split('\n');
  t.ok(files.includes('package/dist/main.js'));
  t.strictSame(
    files.filter((name) => /\.(ts|map)$|^package\/(src|test|scripts|fixtures)\//.test(name)),
    [],
  );
  const project = tempFolder(t);
  writeFileSync(join(project, 'package.json'), '{"private":true}');
  const npm = ['install', '--no-audit', '--no-fund', '--omit=dev', '--prefer-offline', tarball];
  await mustRun('npm', npm, { cwd: project });
  const ran = await command('npx', ['--no-install', 'kubevirt-datamover', '--version'], { cwd: project });
  t.equal(ran.stdout, `kubevirt-datamover ${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}\n`);
  t.equal(ran.status, 0);
}

/** A Debian as debootstrap makes it, with qemu-utils: what a rescue host has. */
async function restoresWithoutNode(t: Test, made: string): Promise<void> {
  if (!requires(t, 'root', 'debootstrap', 'chroot', 'unshare', 'losetup')) return;
  const root = await makeRescueHost(t);
  t.match(await inside(root, 'sh', '-c', 'command -v node nodejs npm'), { status: 127 });
  copyFileSync(join(made, 'kubevirt-datamover-linux-x64'), join(root, 'kubevirt-datamover'));
  cpSync(join(ROOT, 'fixtures/bucket'), join(root, 'bucket'), { recursive: true });
  const { path: target } = loopDevice(t, { size: 64 * MiB });
  const pvcs = [{ name: 'rootdisk', target }];
  const plan = { version: 1, source: { directory: '/bucket' }, backup: 'backup-004', vm: 'demo/web', pvcs };
  writeFileSync(join(root, 'plan.yaml'), stringify(plan));

  const listed = await inside(root, '/kubevirt-datamover', 'list', '--source=/bucket');
  t.equal(listed.status, 0, listed.stderr);
  t.match(listed.stdout, /rootdisk/);
  for (const strategy of ['staged', 'stream']) {
    const flags = ['--scratch=/scratch', '--verify=compare', '--force', `--strategy=${strategy}`];
    const ran = await inside(root, '/kubevirt-datamover', 'restore', '/plan.yaml', ...flags);
    t.equal(ran.status, 0, ran.stderr);
    t.equal((await mustRun('sha256sum', [target])).slice(0, 64), ROOTDISK_SUM);
    await mustRun('dd', ['if=/dev/zero', `of=${target}`, 'bs=1M', 'count=64', 'oflag=direct', 'status=none']);
  }
}

async function makeRescueHost(t: Test): Promise<string> {
  const root = join(tempFolder(t), 'root');
  mkdirSync(root);
  await mustRun('tar', ['-C', root, '-xf', (await mustRun(join(ROOT, 'scripts/debian-root'), [])).trim()]);
  for (const file of ['/etc/resolv.conf', '/etc/hosts']) copyFileSync(file, join(root, file));
  const install = 'apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-utils';
  const { status, stdout, stderr } = await inside(root, 'sh', '-c', install);
  if (status !== 0) throw new Error(`qemu-utils could not be installed: ${stdout}${stderr}`);
  return root;
}

/** Runs a program in the root, whose mounts are seen by it alone and end with it. */
async function inside(root: string, ...words: readonly string[]) {
  const mounts = 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev"';
  const script = `${mounts} && exec chroot "$0" "$@"`;
  const env = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    DEBIAN_FRONTEND: 'noninteractive',
  };
  return await command('unshare', ['--mount', '--fork', 'sh', '-c', script, root, ...words], { env });
}
