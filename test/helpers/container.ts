// The image, built and run for real by buildah and podman, on a base made by debootstrap: nothing is pulled.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { command, mustRun, type Outcome } from './command.ts';
import { tempFolder } from './tmp.ts';

/** What `requires` must find before `buildImage`. */
export const CONTAINER_TOOLS = ['root', 'podman', 'buildah', 'crun', 'debootstrap', 'unshare', 'npm'] as const;

export interface Image {
  readonly name: string;
  /** Runs `podman ARGS`, with this test's own storage. */
  podman(...args: string[]): Promise<Outcome>;
}

/** How a careful cluster runs a pod: no privilege, an arbitrary uid, a root file system that nobody can write. */
export const RESTRICTED = [
  '--read-only',
  '--read-only-tmpfs=false',
  '--user=1000680000:0',
  '--cap-drop=all',
  '--security-opt=no-new-privileges',
] as const;

/** Builds the Containerfile of this project (about a minute); everything of it ends with `t`. */
export async function buildImage(t: Test, context = fileURLToPath(new URL('../../', import.meta.url))): Promise<Image> {
  const folder = tempFolder(t);
  const engine = await openEngine(folder);
  t.teardown(async () => {
    await engine('podman', ['rm', '--all', '--force', '--time=0']);
    await command('umount', [join(folder, 'store', 'overlay')]);
  });
  const must = async (...words: [string, ...string[]]): Promise<void> => {
    const { status, stdout, stderr } = await engine(words[0], words.slice(1));
    if (status !== 0) throw new Error(`${words.join(' ')}: ended with ${status}\n${stdout}${stderr}`);
  };
  const base = await makeBase(folder);
  const path = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  await must('podman', 'import', '--quiet', '--change', path, base, 'localhost/base:test');
  const name = 'localhost/kubevirt-datamover:test';
  const build = ['bud', '--isolation=chroot', '--pull-never', ...(await trust(folder))];
  await must('buildah', ...build, '--build-arg=BASE_IMAGE=localhost/base:test', '--tag', name, context);
  return { name, podman: (...args) => engine('podman', args) };
}

type Engine = (program: string, args: readonly string[]) => Promise<Outcome>;

/**
 * Both programs with storage and configuration of their own. crun refuses a machine whose cgroups are half v1, half v2:
 * there the v2 half is taken out of sight, for these processes only. The limits are those that even a machine without
 * CAP_SYS_RESOURCE may set.
 */
async function openEngine(folder: string): Promise<Engine> {
  const files = (await mustRun('sh', ['-c', 'ulimit -Hn'])).trim();
  const config = join(folder, 'containers.conf');
  writeFileSync(
    config,
    `[containers]
cgroups = "disabled"
default_ulimits = ["nofile=${files}:${files}", "nproc=32768:32768"]
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
`,
  );
  const env = { ...process.env, CONTAINERS_CONF: config };
  const storage = [`--root=${folder}/store`, `--runroot=${folder}/run`, '--storage-driver=overlay'];
  const hide = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"';
  return (program, args) => {
    const own = program === 'podman' ? [...storage, `--tmpdir=${folder}/tmp`] : storage;
    return command('unshare', ['--mount', 'sh', '-c', hide, 'sh', program, ...own, ...args], { env });
  };
}

/** A Debian root with this project's Node and this machine's npm, as a tar: what a registry's node image is. */
async function makeBase(folder: string): Promise<string> {
  const root = join(folder, 'base');
  mkdirSync(root);
  const script = fileURLToPath(new URL('../../scripts/debian-root', import.meta.url));
  await mustRun('install', ['-D', '-m755', process.execPath, join(root, 'usr/local/bin/node')]);
  const modules = join(root, 'usr/local/lib/node_modules');
  mkdirSync(modules, { recursive: true });
  const npm = (await mustRun('sh', ['-c', 'readlink -f "$(command -v npm)"'])).trim();
  await mustRun('cp', ['-a', dirname(dirname(npm)), modules]);
  await mustRun('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm')]);
  // The root is a tar already: what comes to it is appended, without the folders that it has, which no tar of a layer may name twice.
  const tar = join(folder, 'base.tar');
  await mustRun('cp', ['--', (await mustRun(script, [])).trim(), tar]);
  const added = ['bin/node', 'bin/npm', 'lib/node_modules'].map((path) => `usr/local/${path}`);
  await mustRun('tar', ['-C', root, '-rf', tar, ...added]);
  return tar;
}

/** npm inside of the build trusts whom this machine trusts, asks the registry that it asks, and shares its cache. */
async function trust(folder: string): Promise<string[]> {
  const config = async (key: string): Promise<string> => (await mustRun('npm', ['config', 'get', key])).trim();
  const authorities = '/etc/ssl/certs/ca-certificates.crt';
  const npmrc = join(folder, 'npmrc');
  const lines = [`registry=${await config('registry')}`];
  const mounts = [`${npmrc}:/root/.npmrc:ro`, `${await config('cache')}:/root/.npm`];
  if (existsSync(authorities)) {
    lines.push('cafile=/run/build-ca.pem');
    mounts.push(`${authorities}:/run/build-ca.pem:ro`);
  }
  writeFileSync(npmrc, `${lines.join('\n')}\n`);
  return mounts.map((mount) => `--volume=${mount}`);
}

/**
 * A node of its own for a loop device, as a container runtime makes one for a pod: group 0 may read and write it. The
 * machine's own node is for root only, and `--device` keeps mode and owner.
 */
export async function deviceNode(t: Test, loop: string): Promise<string> {
  const node = join(tempFolder(t), 'device');
  const [major = '', minor = ''] = (await mustRun('stat', ['-c', '%Hr %Lr', loop])).trim().split(' ');
  await mustRun('mknod', ['-m', '0660', node, 'b', major, minor]);
  return node;
}

/** A folder that a pod's group may write to, as `fsGroup` makes a volume. */
export function podFolder(t: Test): string {
  const folder = tempFolder(t);
  chmodSync(folder, 0o770);
  return folder;
}
