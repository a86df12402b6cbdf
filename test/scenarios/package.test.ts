// What is handed out: the npm package, and the one file for emergencies on a machine that has qemu-utils and no Node.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { stringify } from 'yaml';
import { readPidsLimit } from '../../src/process-limits.ts';
import { MiB } from '../../src/units.ts';
import { command, mustRun } from '../helpers/command.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { cleanEnvironment } from '../helpers/run-cli.ts';
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
  await t.test('as one file has threads for writes', (t) =>
    hasThreadsForWrites(t, [join(made, 'kubevirt-datamover-linux-x64')]),
  );
  await t.test('as one file restores where there is no Node', (t) => restoresWithoutNode(t, made));
});

async function installs(t: Test, made: string): Promise<void> {
  const tarball = join(made, readdirSync(made).find((name) => name.endsWith('.tgz')) ?? '');
  t.ok(statSync(tarball).size < MiB, `${statSync(tarball).size} bytes`);
  const files = (await mustRun('tar', ['-tf', tarball])).split('\n');
  for (const name of ['dist/main.js', 'dist/LICENSES.txt']) t.ok(files.includes(`package/${name}`), name);
  t.strictSame(
    files.filter((name) => /\.(ts|map)$|^package\/(src|test|scripts|fixtures)\//.test(name)),
    [],
  );
  const project = tempFolder(t);
  writeFileSync(join(project, 'package.json'), '{"private":true}');
  await mustRun('npm', ['install', '--no-audit', '--no-fund', '--omit=dev', '--offline', tarball], { cwd: project });
  const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'));
  t.strictSame(installed, ['kubevirt-datamover'], 'what it needs is in it; a package it uses is a devDependency');
  const ran = await command('npx', ['--no-install', 'kubevirt-datamover', '--version'], { cwd: project });
  t.equal(ran.stdout, `kubevirt-datamover ${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}\n`);
  t.equal(ran.status, 0);
  await hasThreadsForWrites(t, [process.execPath, join(project, 'node_modules/.bin/kubevirt-datamover')]);
}

/** As many threads as writes of a disk may occupy, where the container allows them. The plan is a pipe, at which it can be watched. */
async function hasThreadsForWrites(t: Test, [program = '', ...args]: readonly string[]): Promise<void> {
  const pipe = join(tempFolder(t), 'plan');
  await mustRun('mkfifo', [pipe]);
  const env = cleanEnvironment();
  const child = spawn('env', ['-u', 'NODE_OPTIONS', program, ...args, 'restore', pipe], { env, stdio: 'ignore' });
  // It opens once the program has opened the other end.
  const plan = await open(pipe, 'w');
  const tasks = readdirSync(`/proc/${child.pid}/task`).map((task) => `/proc/${child.pid}/task/${task}/comm`);
  const names = tasks.map((path) => readFileSync(path, 'utf8').trim());
  const { max = Number.POSITIVE_INFINITY } = readPidsLimit() ?? {};
  t.equal(names.filter((name) => name === 'libuv-worker').length, max < 100 ? 4 : 12, names.join(' '));
  await plan.close();
  await once(child, 'close');
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
