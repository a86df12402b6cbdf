// What is handed out: the npm package, the one file for emergencies on a machine that has qemu-utils and no Node, the same
// file as a Debian package, and the list of what they hold.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { stringify } from 'yaml';
import { z } from 'zod';
import { readPidsLimit } from '../../src/process-limits.ts';
import { MiB } from '../../src/units.ts';
import { command, mustRun } from '../helpers/command.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { cleanEnvironment } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const ROOTDISK_SUM = '0bc1eb8adbcda0b8267b0cbc949a8cb636e53681a535d312d02dd9eb1db54d7a';

test('what scripts/package makes', async (t) => {
  if (!requires(t, 'npm', 'sha256sum')) return;
  const made = tempFolder(t);
  await mustRun(join(ROOT, 'scripts/package'), [made]);
  await t.test('is six files', async (t) => {
    const names = readdirSync(made).sort();
    t.match(names, [
      'SHA256SUMS',
      /^kubevirt-datamover-\d+\.\d+\.\d+\.tgz$/,
      'kubevirt-datamover-linux-x64',
      'kubevirt-datamover-linux-x64.licenses.txt',
      'kubevirt-datamover.sbom.json',
      /^kubevirt-datamover_\d+\.\d+\.\d+_amd64\.deb$/,
    ]);
    const checked = await mustRun('sha256sum', ['--check', 'SHA256SUMS'], { cwd: made });
    t.equal(checked.match(/: OK$/gm)?.length, 4);
    const licenses = readFileSync(join(made, 'kubevirt-datamover-linux-x64.licenses.txt'), 'utf8');
    for (const name of ['@aws-sdk/client-s3', 'commander', 'execa', 'zod', 'Node.js']) t.match(licenses, name);
  });
  await t.test('names every package that runs, and none that only builds or tests', async (t) =>
    listsPackages(t, made),
  );
  await t.test('as an npm package installs and runs', (t) => installs(t, made));
  await t.test('as one file has threads for writes', (t) =>
    hasThreadsForWrites(t, [join(made, 'kubevirt-datamover-linux-x64')]),
  );
  await t.test('on a rescue host without Node', (t) => onRescueHost(t, made));
});

const SBOM = z.object({
  bomFormat: z.literal('CycloneDX'),
  metadata: z.object({ component: z.object({ name: z.string(), version: z.string() }) }),
  components: z.array(z.object({ name: z.string(), version: z.string(), purl: z.string() })),
});

function listsPackages(t: Test, made: string): void {
  const { metadata, components } = SBOM.parse(
    JSON.parse(readFileSync(join(made, 'kubevirt-datamover.sbom.json'), 'utf8')),
  );
  t.strictSame(metadata.component, { name: 'kubevirt-datamover', version: PACKAGE.version });
  t.notMatch(readFileSync(join(made, 'kubevirt-datamover.sbom.json'), 'utf8'), 'cdx:npm:package:development');
  const listed = new Set(components.map(({ name, version }) => `${name} ${version}`));
  const licenses = readFileSync(join(made, 'kubevirt-datamover-linux-x64.licenses.txt'), 'utf8');
  const held = [...licenses.matchAll(/^(@?[a-z0-9][\w./-]* \d+\.\d+\.\d+): \S+$/gm)].map(([, name = '']) => name);
  t.ok(held.length > 20);
  t.strictSame(
    new Set(held),
    new Set([...listed].filter((name) => !name.startsWith('node '))),
    'each package whose licence is included',
  );
  const notRunning = ['typescript', 'tap', 'esbuild', '@biomejs/biome', 'knip'];
  t.strictSame(
    components.filter(({ name }) => notRunning.includes(name)),
    [],
  );
}

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
  t.equal(ran.stdout, `kubevirt-datamover ${PACKAGE.version}\n`);
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

/** A Debian as debootstrap makes it: what a rescue host has. The package brings qemu-utils. */
async function onRescueHost(t: Test, made: string): Promise<void> {
  if (!requires(t, 'root', 'debootstrap', 'chroot', 'unshare', 'losetup')) return;
  const root = await makeRescueHost(t);
  t.match(await inside(root, 'sh', '-c', 'command -v node nodejs npm'), { status: 127 });
  copyFileSync(join(made, 'kubevirt-datamover-linux-x64'), join(root, 'rescue'));
  cpSync(join(ROOT, 'fixtures/bucket'), join(root, 'bucket'), { recursive: true });
  const { path: target } = loopDevice(t, { size: 64 * MiB });
  const pvcs = [{ name: 'rootdisk', target }];
  const plan = { version: 1, source: { directory: '/bucket' }, backup: 'backup-004', vm: 'demo/web', pvcs };
  writeFileSync(join(root, 'plan.yaml'), stringify(plan));
  const restores = async (program: string, strategy: string): Promise<void> => {
    const flags = ['--scratch=/scratch', '--verify=compare', '--force', `--strategy=${strategy}`];
    const ran = await inside(root, program, 'restore', '/plan.yaml', ...flags);
    t.equal(ran.status, 0, ran.stderr);
    t.equal((await mustRun('sha256sum', [target])).slice(0, 64), ROOTDISK_SUM);
    await mustRun('dd', ['if=/dev/zero', `of=${target}`, 'bs=1M', 'count=64', 'oflag=direct', 'status=none']);
  };

  await t.test('the Debian package installs what it needs, restores, and leaves nothing', async (t) => {
    const deb = readdirSync(made).find((name) => name.endsWith('.deb')) ?? '';
    copyFileSync(join(made, deb), join(root, deb));
    const installed = await inside(root, 'apt-get', 'install', '-y', '-qq', '--no-install-recommends', `/${deb}`);
    t.equal(installed.status, 0, installed.stdout + installed.stderr);
    t.match(await inside(root, 'kubevirt-datamover', '--version'), {
      status: 0,
      stdout: `kubevirt-datamover ${PACKAGE.version}\n`,
    });
    await restores('kubevirt-datamover', 'staged');
    await walks(t, root);
    t.strictSame((await inside(root, 'dpkg', '--verify', 'kubevirt-datamover')).stdout, '', 'as its sums say');
    const files = (await inside(root, 'dpkg', '-L', 'kubevirt-datamover')).stdout.split('\n');
    for (const path of [
      'bash-completion/completions/kubevirt-datamover',
      'doc/kubevirt-datamover/copyright',
      'doc/kubevirt-datamover/docs/quickstart.md',
      'doc/kubevirt-datamover/fixtures/bucket/manifests/backup-004/index.json',
      'man/man1/kubevirt-datamover.1.gz',
      'man/man1/kubevirt-datamover-restore.1.gz',
    ]) {
      t.ok(files.includes(`/usr/share/${path}`), path);
    }
    const page = await inside(root, 'zcat', '/usr/share/man/man1/kubevirt-datamover-restore.1.gz');
    t.match(page.stdout, /^\.TH "KUBEVIRT\\-DATAMOVER\\-RESTORE" 1 /);
    t.match(await inside(root, 'bash', '-n', '/usr/share/bash-completion/completions/kubevirt-datamover'), {
      status: 0,
    });
    t.match(await inside(root, 'dpkg', '--purge', 'kubevirt-datamover'), { status: 0 });
    t.match(await inside(root, 'sh', '-c', 'find /usr /etc -name "*kubevirt-datamover*"'), { stdout: '' });
  });

  await t.test('the one file restores', async (t) => {
    const listed = await inside(root, '/rescue', 'list', '--source=/bucket');
    t.equal(listed.status, 0, listed.stderr);
    t.match(listed.stdout, /rootdisk/);
    for (const strategy of ['staged', 'stream']) await restores('/rescue', strategy);
  });
}

/** The quick start, word by word, from the page that the package installed. */
async function walks(t: Test, root: string): Promise<void> {
  const page = await inside(root, 'cat', '/usr/share/doc/kubevirt-datamover/docs/quickstart.md');
  const blocks = [...page.stdout.matchAll(/^```sh(?: run)?\n(.*?)^```$/gms)].map(([, block = '']) => block);
  t.ok(blocks.length >= 6, `${blocks.length} blocks`);
  const walked = await inside(root, 'bash', '-euc', ['mkdir /walk', 'cd /walk', ...blocks].join('\n'));
  t.equal(walked.status, 0, walked.stdout + walked.stderr);
  t.match(walked.stdout, 'Hello from the virtual machine "web", as it was at checkpoint cp-004.');
  t.match(await inside(root, 'sha256sum', '/walk/rootdisk.raw'), { stdout: new RegExp(`^${ROOTDISK_SUM} `) });
}

async function makeRescueHost(t: Test): Promise<string> {
  const root = join(tempFolder(t), 'root');
  mkdirSync(root);
  await mustRun('tar', ['-C', root, '-xf', (await mustRun(join(ROOT, 'scripts/debian-root'), [])).trim()]);
  for (const file of ['/etc/resolv.conf', '/etc/hosts']) copyFileSync(file, join(root, file));
  const { status, stdout, stderr } = await inside(root, 'apt-get', 'update', '-qq');
  if (status !== 0) throw new Error(`no package lists: ${stdout}${stderr}`);
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
