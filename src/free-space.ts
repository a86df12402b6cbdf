// How much space a file system has left, as statfs(2) reports it; some file systems report nothing that can be used.
import { readFile, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from './errors.ts';
import { mountOptionsAt } from './mount-options.ts';

export interface FreeSpace {
  /** Equal for two paths that draw on the same space: one file system, and one project quota of it. */
  readonly pool: string;
  /** The most bytes that this user can write there; undefined when the file system does not report it. */
  readonly bytes: number | undefined;
  /** The most files that can be created there; undefined when the file system sets no limit or does not report it. */
  readonly files: number | undefined;
  /** Whether a file occupies only what was written to it. FAT and its relatives store the zeros of a hole. */
  readonly sparse: boolean;
  /** Whether what is written may occupy less than its bytes: the file system compresses. */
  readonly compresses: boolean;
}

/** The fields of `StatFs` that count here, as unsigned or signed 64-bit values. */
export interface StatFsFields {
  readonly type: bigint;
  readonly bsize: bigint;
  /** The unit of the block counts; absent before Node 24.13, where `bsize` has to do. */
  readonly frsize?: bigint;
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
}

/** The free space at `path`, or at its nearest parent that can be inspected. */
export async function freeSpaceAt(path: string): Promise<FreeSpace> {
  try {
    const [fields, { dev }] = await Promise.all([statfs(path, { bigint: true }), stat(path)]);
    const compresses = fields.type === BTRFS && /compress/.test((await mountOptionsAt(path)) ?? '');
    return readFreeSpace(fields, { device: dev, isRoot: await mayUseReserve(), compresses });
  } catch (error) {
    // Whether the path itself can be used is checked elsewhere.
    if (systemCode(error) === undefined || dirname(path) === path) throw error;
    return await freeSpaceAt(dirname(path));
  }
}

export interface FreeSpaceContext {
  /** st_dev */
  readonly device: number;
  /** Whether blocks that are reserved for root are free too. */
  readonly isRoot: boolean;
  /** Whether it is mounted so that it compresses. */
  readonly compresses: boolean;
}

/** What the fields of a file system mean. */
export function readFreeSpace(fields: StatFsFields, { device, isRoot, compresses }: FreeSpaceContext): FreeSpace {
  const { type, bsize, frsize = 0n, blocks, bavail, files, ffree } = fields;
  // FUSE counts in fragments, whatever size of request it prefers (statvfs(3)).
  const unit = frsize > 0n ? frsize : bsize;
  const free = isRoot ? forRoot(fields) : bavail;
  return {
    pool: WITH_PROJECTS.has(type) ? `${device}:${blocks}` : String(device),
    bytes: isCount(free, blocks) ? Number(free * unit) : undefined,
    files: COUNTS_FILES.has(type) && isCount(ffree, files) ? Number(ffree) : undefined,
    sparse: !WITHOUT_HOLES.has(type),
    compresses: compresses || COMPRESSING.has(type),
  };
}

/** With the blocks that are reserved for root, and without what is reserved for the file system itself. */
function forRoot({ type, blocks, bfree, bavail }: StatFsFields): bigint {
  // It counts space as free that its metadata can no longer address; only `bavail` knows of that.
  if (type === BTRFS) return bavail;
  if (type !== EXT) return bfree;
  // fs/ext4/super.c, ext4_set_resv_clusters: a fiftieth, 4096 at most, is kept for metadata.
  const kept = blocks / 50n < 4096n ? blocks / 50n : 4096n;
  return bavail > bfree - kept ? bavail : bfree - kept;
}

/** No total means "unknown" (ramfs, FUSE servers without statfs, tmpfs without a limit); so does more than the total. */
function isCount(free: bigint, total: bigint): boolean {
  return total > 0n && free >= 0n && free <= total;
}

// statfs(2), "f_type", and linux/magic.h.
const EXT = 0xef53n;
const XFS = 0x58465342n;
const F2FS = 0xf2f52010n;
const TMPFS = 0x01021994n;
const OVERLAY = 0x794c7630n;
const BTRFS = 0x9123683en;

/** A directory of theirs with a project quota reports the quota as its total; of others the total changes as they are used. */
const WITH_PROJECTS: ReadonlySet<bigint> = new Set([EXT, XFS, F2FS]);

/** File systems whose inode counts are real: CephFS reports −1, FUSE servers whatever they like. */
const COUNTS_FILES: ReadonlySet<bigint> = new Set([EXT, XFS, F2FS, TMPFS, OVERLAY]);

/** ZFS and bcachefs do as their datasets and directories say, which cannot be seen from here. */
const COMPRESSING: ReadonlySet<bigint> = new Set([0x2fc12fc1n, 0xca451a4en]);

/** FAT, exFAT, HFS, HFS+ */
const WITHOUT_HOLES: ReadonlySet<bigint> = new Set([0x4d44n, 0x2011bab0n, 0x4244n, 0x482bn]);

/**
 * Whether blocks that a file system reserves for root are free for this process: ext4 asks for uid 0 of the initial user
 * namespace, which root of a rootless container is not.
 */
async function mayUseReserve(): Promise<boolean> {
  if (process.geteuid?.() !== 0) return false;
  const map = await readFile('/proc/self/uid_map', 'utf8').catch(() => undefined);
  return map === undefined || /^\s*0\s+0\s+4294967295\s*$/.test(map);
}
