// Backups for tests, made by a real QEMU; plans that restore them; and the true disks to compare with.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cp, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'yaml';
import { chainOf, makeBackup } from '../../scripts/lib/make-backup/make.ts';
import type { BackupShape, MadeBackup } from '../../scripts/lib/make-backup/shape.ts';
import { MiB } from '../../src/units.ts';
import type { Rgw } from './rgw.ts';
import { sharedFolder } from './shared.ts';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `madeBackup`. */
export const BACKUP_TOOLS = ['qemu-storage-daemon', 'qemu-img', 'setpriv', 'cmp'] as const;

export interface BackupForTest extends MadeBackup {
  /** The test's own folder, around the bucket folder. */
  readonly folder: string;
}

/**
 * A backup in a folder that goes with the test. A shape is made once for all tests: of the bucket each gets a copy that it may
 * change, of the true disks a link.
 */
export async function madeBackup(t: Owner, shape: BackupShape): Promise<BackupForTest> {
  const shared = await sharedFolder(['backup', shape], async (folder) => {
    const made = await makeBackup(shape, placesIn(folder));
    await writeFile(join(folder, 'made.json'), JSON.stringify(made));
  });
  const folder = tempFolder(t);
  const { bucket, truth } = placesIn(folder);
  await cp(placesIn(shared).bucket, bucket, { recursive: true });
  await symlink(placesIn(shared).truth, truth);
  return { ...moved(await readFile(join(shared, 'made.json'), 'utf8'), folder), folder };
}

function placesIn(folder: string): { readonly bucket: string; readonly truth: string } {
  return { bucket: join(folder, 'bucket'), truth: join(folder, 'truth') };
}

/** What was made in another folder, as if it had been made in `folder`. */
function moved(json: string, folder: string): MadeBackup {
  const made: MadeBackup = JSON.parse(json);
  return JSON.parse(json.replaceAll(dirname(made.bucket), folder));
}

/** A layer as a plan writes it; changeable, so that a test can damage it. */
export interface LayerDocument {
  checkpoint: string;
  type: string;
  parent?: string;
  object: string;
  size?: number;
  sha256?: string;
}

/** A plan as it is written; changeable, so that a test can damage it. */
export interface PlanDocument {
  version: number;
  source: {
    directory?: string;
    s3?: Record<string, unknown>;
    azure?: Record<string, unknown>;
    gcs?: Record<string, unknown>;
  };
  scratch?: { path?: string; headroomPercent?: number };
  backup?: string;
  vm?: string;
  pvcs: { name: string; target: string; size?: string | number; chain?: LayerDocument[] }[];
}

export interface PlanForOptions {
  /** Chains written out, or left to be found through `backup` and `vm`. Default: `written`. */
  readonly chains?: 'written' | 'looked-up';
  /** Where the bucket was uploaded to; else the source is the folder. */
  readonly s3?: { readonly rgw: Rgw; readonly bucket: string };
  /** Write the layers' SHA-256 too. */
  readonly sha256?: boolean;
  /** Default: `scratch` beside the bucket folder, which does not exist yet. */
  readonly scratch?: string;
  /** Last changes, before it is written. */
  readonly edit?: (document: PlanDocument) => void;
}

/** Writes a plan that restores a backup onto `targets` (disk → target), in their order; gives the plan file's path. */
export async function planFor(
  made: BackupForTest,
  backup: string,
  targets: Readonly<Record<string, string>>,
  options: PlanForOptions = {},
): Promise<string> {
  const { chains = 'written', scratch = join(made.folder, 'scratch') } = options;
  const document: PlanDocument = { version: 1, source: sourceOf(made, options), scratch: { path: scratch }, pvcs: [] };
  if (chains === 'looked-up') Object.assign(document, { backup, vm: `${made.namespace}/${made.vm}` });
  for (const [name, target] of Object.entries(targets)) {
    const written = chains === 'written' ? { chain: await writtenChain(made, backup, name, options) } : {};
    document.pvcs.push({ name, target, ...written });
  }
  options.edit?.(document);
  const path = join(made.folder, `plan-${crypto.randomUUID().slice(0, 8)}.yaml`);
  await writeFile(path, stringify(document));
  return path;
}

function sourceOf(made: BackupForTest, { s3 }: PlanForOptions): PlanDocument['source'] {
  if (s3 === undefined) return { directory: made.directory };
  const { endpoint, region } = s3.rgw;
  const prefix = made.prefix === '' ? {} : { prefix: made.prefix };
  return { s3: { bucket: s3.bucket, ...prefix, endpoint, region, forcePathStyle: true } };
}

/** A disk's chain as a plan has it. */
export async function writtenChain(
  made: MadeBackup,
  backup: string,
  disk: string,
  { sha256 = false }: PlanForOptions = {},
): Promise<LayerDocument[]> {
  const documents: LayerDocument[] = [];
  for (const { checkpoint, type, object, size, path } of chainOf(made, backup, disk)) {
    const last = documents.at(-1);
    const parent = last === undefined ? {} : { parent: last.checkpoint };
    const sum = sha256 ? { sha256: await sha256Of(path) } : {};
    documents.push({ checkpoint, type, ...parent, object, size, ...sum });
  }
  return documents;
}

/** Puts the whole bucket folder into a new bucket, and gives its name. */
export async function uploadBucket(rgw: Rgw, made: MadeBackup): Promise<string> {
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, made.bucket);
  return bucket;
}

/** The true disk at the checkpoint that a backup was taken of: a raw file. */
export function truthOf(made: MadeBackup, backup: string, disk: string): string {
  const layer = chainOf(made, backup, disk).at(-1);
  if (layer === undefined) throw new Error(`${backup} holds no ${disk}`);
  return layer.truth;
}

/** Asks `cmp`: undefined when the target's first bytes are the true disk's, else where they begin to differ. */
export async function difference(target: string, truth: string): Promise<string | undefined> {
  const { size } = await stat(truth);
  const child = spawn('cmp', ['-n', String(size), '--', target, truth], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout.on('data', (text) => {
    said += String(text);
  });
  child.stderr.on('data', (text) => {
    said += String(text);
  });
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return status === 0 ? undefined : said.trim();
}

/** Lower-case hex. */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: MiB }), hash);
  return hash.digest('hex');
}
