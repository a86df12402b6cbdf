// The state of a disk that holds an ext4 file system, checkpoint by checkpoint: files are added, changed and removed with
// debugfs, so nothing is mounted, and every time and id is fixed, so the same states come out again.
import { createHash, hash } from 'node:crypto';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { KiB } from '../../../src/units.ts';
import { runTool } from '../run-tool.ts';

export interface StateOptions {
  /** The raw file to make. */
  readonly path: string;
  /** The state before it; absent for the first. */
  readonly previous?: string;
  /** Bytes of the first state's file system; it does not grow with the disk. */
  readonly size: number;
  /** The disk's name: the file system's label. */
  readonly disk: string;
  /** Counted from 1. */
  readonly checkpoint: number;
  readonly seed: string;
  readonly signal: AbortSignal;
}

/** Makes the raw file `path`: the file system as it is at this checkpoint. */
export async function makeFileSystemState(options: StateOptions): Promise<void> {
  const { path, previous, checkpoint, seed, signal } = options;
  const folder = await mkdtemp(join(tmpdir(), 'kdm-fs-'));
  try {
    if (previous === undefined) await makeEmpty(options);
    else await runTool('cp', ['--sparse=always', '--', previous, path], { signal });
    const before = previous === undefined ? new Map<string, Buffer>() : filesAt(checkpoint - 1, seed);
    const commands = await changeCommands(before, filesAt(checkpoint, seed), folder);
    await writeFile(join(folder, 'commands'), commands.join('\n'));
    const env = { E2FSPROGS_FAKE_TIME: String(FIRST_TIME + checkpoint * DAY) };
    const { stderr } = await runTool('debugfs', ['-w', '-f', join(folder, 'commands'), path], { signal, env });
    // debugfs says its version, and exits 0 whatever went wrong.
    const complaints = stderr.split('\n').filter((line) => line !== '' && !/^debugfs \d/.test(line));
    if (complaints.length > 0) throw new Error(`debugfs: ${complaints.join('; ')}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The small files that the disk holds at a checkpoint, counted from 1, by absolute path. */
function filesAt(checkpoint: number, seed: string): Map<string, Buffer> {
  const id = String(checkpoint).padStart(3, '0');
  const files = new Map<string, Buffer>([
    ['/hello.txt', Buffer.from(`Hello from the virtual machine "web", as it was at checkpoint cp-${id}.\n`)],
    ['/etc/hostname', Buffer.from('web\n')],
    ['/etc/version', Buffer.from(`1.${checkpoint}\n`)],
    ['/srv/www/index.html', Buffer.from(`<h1>Welcome</h1>\n<p>Release 1.${checkpoint}</p>\n`)],
    ['/var/log/visits.log', Buffer.from(visits(checkpoint * 40))],
  ]);
  // One is deleted and one added at each step: blocks are freed, and used again by other files.
  for (let number = checkpoint; number < checkpoint + 4; number += 1) {
    files.set(`/srv/www/picture-${number}.bin`, randomBytes(`${seed} picture ${number}`, 128 * KiB));
  }
  return files;
}

const FIRST_TIME = Date.UTC(2025, 9, 31) / 1000;
const DAY = 24 * 60 * 60;

async function makeEmpty({ path, size, disk, seed, signal }: StateOptions): Promise<void> {
  await writeFile(path, '');
  await truncate(path, size);
  const id = uuidOf(`${seed} ${disk}`);
  const args = ['-q', '-F', '-b', '4096', '-N', '64', '-m', '0', '-L', disk.slice(0, 16), '-U', id];
  args.push('-O', '^has_journal,^resize_inode', '-E', `hash_seed=${id},root_owner=0:0,nodiscard`, path);
  await runTool('mkfs.ext4', args, { signal, env: { E2FSPROGS_FAKE_TIME: String(FIRST_TIME) } });
}

/** debugfs writes into its working folder only, hence the cd before each file. */
async function changeCommands(
  before: Map<string, Buffer>,
  after: Map<string, Buffer>,
  folder: string,
): Promise<string[]> {
  const commands = [...before.keys()].filter((path) => !after.has(path)).map((path) => `rm ${path}`);
  const folders = new Set([...before.keys()].flatMap(foldersOf));
  for (const [path, content] of after) {
    const old = before.get(path);
    if (old?.equals(content)) continue;
    for (const parent of foldersOf(path)) {
      if (!folders.has(parent)) commands.push(`mkdir ${parent}`);
      folders.add(parent);
    }
    const source = join(folder, createHash('sha256').update(path).digest('hex'));
    await writeFile(source, content, { mode: 0o644 });
    if (old !== undefined) commands.push(`rm ${path}`);
    commands.push(`cd ${dirname(path)}`, `write ${source} ${path.slice(path.lastIndexOf('/') + 1)}`, 'cd /');
  }
  return commands;
}

/** `/a/b/c` → `/a`, `/a/b` */
function foldersOf(path: string): string[] {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

function visits(count: number): string {
  return Array.from({ length: count }, (_, n) => `${n + 1} GET /index.html 200\n`).join('');
}

/** Made once for a key: a picture is on the disk at four checkpoints, and each looks at the one before it. */
function randomBytes(key: string, length: number): Buffer {
  const made = pictures.get(key);
  if (made?.length === length) return made;
  const blocks = Array.from({ length: length / 32 }, (_, n) => hash('sha256', `${key} ${n}`, 'buffer'));
  const bytes = Buffer.concat(blocks);
  pictures.set(key, bytes);
  return bytes;
}

const pictures = new Map<string, Buffer>();

function uuidOf(key: string): string {
  const hex = createHash('sha256').update(key).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
