// A block device as a target: held O_RDWR and O_EXCL from the check to the end.
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { stat } from 'node:fs/promises';
import { DatamoverError, systemCode } from '../errors.ts';
import { alignDown, alignUp, type ByteRange, formatBytes, KiB, MiB } from '../units.ts';
import { firstNonZero } from '../zeros.ts';
import { beginBlockSession } from './block-session.ts';
import { busyError, checkNoWriters } from './busy.ts';
import { type Checksum, ChecksumOfPieces } from './checksum.ts';
import { CLAIM_SIZE, isClaimOf, parseClaim } from './claim.ts';
import { DeviceIo, openHeld } from './device-io.ts';
import { type DiskIo, HeldIo } from './disk-io.ts';
import { targetFailure } from './failure.ts';
import { planBlankRanges } from './layout.ts';
import { deviceNumber, readAttribute, readQueueNumber, readUncertain } from './linux/sysfs.ts';
import type { BeginOptions, BlankOptions, Target, TargetIdentity, TargetSession } from './target.ts';

export interface OpenBlockOptions {
  readonly path: string;
  readonly realPath: string;
  readonly stats: BigIntStats;
  readonly inPod?: boolean;
  readonly signal: AbortSignal;
}

/** TARGET_BUSY, TARGET_DENIED. The caller closes it. */
export async function openBlockTarget(options: OpenBlockOptions): Promise<Target> {
  const { path, realPath, stats, signal } = options;
  const device = deviceNumber(stats.rdev);
  const { handle, direct } = await hold(options, device);
  try {
    const now = await handle.stat({ bigint: true });
    if (now.rdev !== stats.rdev)
      throw new DatamoverError('TARGET_BUSY', `target ${path} changed to another device during the check`, {
        hint: 'check the device nodes (`ls -l /dev`, `lsblk`), then run again',
      });
    if ((await readAttribute(device, 'ro')) === '1') throw readOnly(path);
    await checkNoWriters({ path, device, signal });
    const sectorSize = (await readQueueNumber(device, 'logical_block_size')) ?? 512;
    const io = new DeviceIo(handle, { path, sectorSize });
    const diskIo = new HeldIo({ handle, direct, path, unit: Math.max(4 * KiB, sectorSize) });
    const capacity = await capacityOf(device, path);
    const identity: TargetIdentity = { kind: 'block', place: device, size: capacity, medium: await mediumOf(device) };
    const fastZero = ((await readQueueNumber(device, 'write_zeroes_max_bytes')) ?? 0) > 0;
    return new BlockTarget({
      path,
      realPath,
      device: stats.rdev,
      io,
      diskIo,
      capacity,
      sectorSize,
      identity,
      fastZero,
      direct,
    });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function hold(
  { path, realPath, inPod = false, signal }: OpenBlockOptions,
  device: string,
): Promise<{ handle: FileHandle; direct: boolean }> {
  try {
    return await openHeld(realPath);
  } catch (error) {
    if (systemCode(error) === 'EBUSY') throw await busyError({ path, device, signal }, error);
    if (systemCode(error) === 'EROFS') throw readOnly(path);
    if (['ENXIO', 'ENODEV', 'ENOMEDIUM'].includes(systemCode(error) ?? '')) {
      throw new DatamoverError('TARGET_MISSING', `target ${path} is a device node without a device behind it`, {
        hint: 'attach the device, or correct the path: lsblk lists the block devices',
        cause: error,
      });
    }
    throw targetFailure(`cannot open target ${path} for writing`, error, inPod ? { hint: POD_HINT } : {});
  }
}

const POD_HINT = 'set device_ownership_from_security_context = true in containerd or CRI-O, or run the pod as root';

function readOnly(path: string): DatamoverError {
  return new DatamoverError('TARGET_DENIED', `target ${path} is read-only`, {
    hint: 'make it writable (`blockdev --setrw`), or attach it without readOnly',
  });
}

/** sysfs counts in sectors of 512 bytes whatever the device's own are. */
async function capacityOf(device: string, path: string): Promise<number> {
  const sectors = Number((await readAttribute(device, 'size')) ?? Number.NaN);
  if (Number.isSafeInteger(sectors * 512) && sectors > 0) return sectors * 512;
  throw new DatamoverError(
    'TARGET_MISSING',
    `target ${path}: size unknown: ${sectors === 0 ? 'sysfs reports 0 sectors' : 'not found in sysfs'}`,
    {
      hint: 'check that the device is attached and /sys is mounted',
    },
  );
}

/** The first of these that the kernel has: together with number and size they tell a swapped medium. */
async function mediumOf(device: string): Promise<string | null> {
  for (const name of ['wwid', 'device/wwid', 'serial', 'device/serial', 'dm/uuid', 'loop/backing_file']) {
    const value = (await readUncertain(device, name)) ?? (await readUncertain(device, `../${name}`));
    if (value === undefined || value === '') continue;
    return `${name}=${value}${name === 'loop/backing_file' ? await formatInode(value) : ''}`;
  }
  return null;
}

async function formatInode(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  return found === undefined ? '' : ` (${found.dev}:${found.ino})`;
}

interface BlockParts {
  readonly path: string;
  readonly realPath: string;
  /** st_rdev, asked for again before the claim: a name may come to mean another device. */
  readonly device: bigint;
  readonly io: DeviceIo;
  readonly diskIo: HeldIo;
  readonly capacity: number;
  readonly sectorSize: number;
  readonly identity: TargetIdentity;
  readonly fastZero: boolean;
  readonly direct: boolean;
}

class BlockTarget implements Target {
  readonly kind = 'block';
  readonly format = 'raw';
  readonly path: string;
  readonly realPath: string;
  readonly written: readonly string[];
  readonly capacity: number;
  readonly identity: TargetIdentity;
  readonly fastZero: boolean;
  readonly sectorSize: number;
  readonly #parts: BlockParts;
  #diskSize: number | undefined;
  #closed = false;

  constructor(parts: BlockParts) {
    this.path = parts.path;
    this.realPath = parts.realPath;
    this.written = [parts.realPath];
    this.capacity = parts.capacity;
    this.identity = parts.identity;
    this.fastZero = parts.fastZero;
    this.sectorSize = parts.sectorSize;
    this.#parts = parts;
  }

  checkSize(diskSize: number): void {
    this.#diskSize = diskSize;
    if (this.capacity >= diskSize) return;
    throw new DatamoverError(
      'TARGET_TOO_SMALL',
      `target ${this.path} has ${this.capacity} bytes (${formatBytes(this.capacity)}), the disk ${diskSize} (${formatBytes(diskSize)})`,
      { hint: `use a device of at least ${diskSize} bytes` },
    );
  }

  async freeSpace(): Promise<undefined> {
    return undefined;
  }

  async checkBlank({ force, ownClaim }: BlankOptions): Promise<'blank' | 'claimed' | 'overwrite'> {
    const { io, sectorSize } = this.#parts;
    const ranges = planBlankRanges({ diskSize: this.#diskSize, capacity: this.capacity, sectorSize });
    for (const { offset, length } of ranges) {
      const bytes = await io.read({ offset, length });
      const found = firstNonZero(bytes);
      if (found === -1) continue;
      const claim = parseClaim(await io.read({ offset: 0, length: Math.min(CLAIM_SIZE, this.capacity) }));
      if (claim !== undefined && ownClaim !== undefined && isClaimOf(claim, ownClaim)) return 'claimed';
      if (force) return 'overwrite';
      throw notBlank(
        this.path,
        offset + found,
        claim === undefined ? '' : `; it was being restored by another plan (${claim.planId}, PVC ${claim.pvc})`,
      );
    }
    return 'blank';
  }

  async checksum(ranges: readonly ByteRange[]): Promise<Checksum> {
    const checksum = new ChecksumOfPieces();
    for (const piece of ranges.flatMap(inPieces)) checksum.add(await this.#readAny(piece));
    return checksum.result();
  }

  async begin(options: BeginOptions): Promise<TargetSession> {
    const { path, realPath, device, direct } = this.#parts;
    // qemu-img opens by name what we hold by descriptor: both must be the same device.
    const named = await stat(realPath, { bigint: true }).catch(() => undefined);
    if (named?.rdev !== device) {
      throw new DatamoverError('TARGET_BUSY', `target ${path} is no longer the device that was checked`, {
        hint: 'check the device nodes (`ls -l /dev`, `lsblk`), then run again',
      });
    }
    // Hours may have passed since the check, and a virtual machine that was started meanwhile does not see that it is held.
    await checkNoWriters({ path, device: deviceNumber(device), signal: options.signal });
    return await beginBlockSession({ ...options, ...this.#parts, cache: direct ? 'none' : 'writeback' });
  }

  async length(): Promise<number> {
    return this.capacity;
  }

  async reading<T>(work: (io: Pick<DiskIo, 'unit' | 'read'>) => Promise<T>): Promise<T> {
    return await work(this.#parts.diskIo);
  }

  async syncCompleted(): Promise<void> {
    await this.#parts.io.sync();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#parts.diskIo.close();
    await this.#parts.io.close();
  }

  /** A range of any alignment inside the device. */
  async #readAny({ offset, length }: ByteRange): Promise<Uint8Array> {
    const { io, sectorSize } = this.#parts;
    const start = alignDown(offset, sectorSize);
    const bytes = await io.read({ offset: start, length: alignUp(offset + length, sectorSize) - start });
    return bytes.subarray(offset - start, offset - start + length);
  }
}

function inPieces({ offset, length }: ByteRange): ByteRange[] {
  const count = Math.ceil(length / MiB);
  return Array.from({ length: count }, (_, index) => ({
    offset: offset + index * MiB,
    length: Math.min(MiB, length - index * MiB),
  }));
}

function notBlank(path: string, offset: number, whose: string): DatamoverError {
  return new DatamoverError('TARGET_NOT_BLANK', `target ${path} is not blank: data found at offset ${offset}${whose}`, {
    hint: `check that it is the right device (\`lsblk -f ${path}\`), then add --force to overwrite all of it`,
  });
}
