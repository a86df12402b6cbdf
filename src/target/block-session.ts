// Claim, body, edges last: a device that is being restored cannot boot before it is whole, whatever kills us.
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError, messageOf } from '../errors.ts';
import { type Claim, encodeClaim, parseClaim } from './claim.ts';
import type { DeviceIo } from './device-io.ts';
import type { DiskIo } from './disk-io.ts';
import { withDetail } from './failure.ts';
import { type DeviceLayout, planLayout } from './layout.ts';
import type { BeginOptions, FinishedTarget, TargetSession } from './target.ts';

export interface BlockSessionOptions extends BeginOptions {
  readonly path: string;
  readonly realPath: string;
  readonly io: DeviceIo;
  readonly diskIo: DiskIo;
  readonly capacity: number;
  readonly sectorSize: number;
  readonly cache: CacheMode;
}

/** Writes the claim, flushed, then zeroes what could make the device bootable or mountable, flushed. */
export async function beginBlockSession(options: BlockSessionOptions): Promise<TargetSession> {
  const { io, claim, diskSize, capacity, sectorSize } = options;
  const session = new BlockSession(options, planLayout({ diskSize, capacity, sectorSize }));
  try {
    // The claim first, and by itself on the device: from then on a kill leaves a device that the same plan may go on with.
    await io.write(0, encodeClaim(claim, capacity));
    await io.sync();
    for (const { offset, length } of session.layout.zeroed) await io.write(offset, new Uint8Array(length));
    await io.sync();
    return session;
  } catch (error) {
    const { problem } = await session.abandon();
    throw withDetail(error, problem);
  }
}

class BlockSession implements TargetSession {
  readonly driver = 'host_device';
  readonly isZero = false;
  readonly writePath: string;
  readonly cache: CacheMode;
  readonly layout: DeviceLayout;
  readonly io: DiskIo;
  readonly #io: DeviceIo;
  readonly #path: string;
  readonly #claim: Claim;
  /** From then on the disk's own beginning stands where the claim was, or a part of it. */
  #headBegun = false;
  #finished = false;

  constructor({ realPath, path, cache, io, diskIo, claim }: BlockSessionOptions, layout: DeviceLayout) {
    this.writePath = realPath;
    this.cache = cache;
    this.layout = layout;
    this.io = diskIo;
    this.#io = io;
    this.#path = path;
    this.#claim = claim;
  }

  get mask() {
    const { headSize, edges, body } = this.layout;
    // A disk that is all edges, and may be smaller than the head: the caller writes none of it.
    if (body.length === 0) return undefined;
    const head = padded(encodeClaim(this.#claim, headSize), headSize);
    const zeros = edges.map(({ offset, length }) => {
      const start = Math.max(offset, headSize);
      return { offset: start, length: offset + length - start };
    });
    return { head, zeros: zeros.filter(({ length }) => length > 0) };
  }

  get body() {
    return this.layout.body;
  }

  get edges() {
    return this.layout.edges;
  }

  get tail() {
    return this.layout.tail;
  }

  async flush(): Promise<void> {
    await this.#io.sync();
  }

  async finish(edges: readonly Uint8Array[]): Promise<FinishedTarget> {
    if (!(await this.#isOurs())) throw this.#claimLost();
    const { headSize } = this.layout;
    await this.#io.sync();
    for (const [index, { offset }] of this.layout.edges.entries()) {
      const bytes = edges[index];
      if (bytes?.length !== this.layout.edges[index]?.length) throw new RangeError(`edge ${index} has another length`);
      if (bytes !== undefined)
        await this.#io.write(Math.max(offset, headSize), bytes.subarray(Math.max(headSize - offset, 0)));
    }
    await this.#io.sync();
    const head = edges[this.layout.edges.findIndex(({ offset }) => offset === 0)] ?? new Uint8Array();
    this.#headBegun = true;
    await this.#io.write(0, padded(head.subarray(0, headSize), headSize));
    await this.#io.sync();
    await this.#proveEdges(edges);
    this.#finished = true;
    return { warnings: [] };
  }

  async abandon(): Promise<{ problem?: string }> {
    if (this.#finished) return {};
    try {
      // What is neither our claim nor the head that was to follow it is not ours to wipe.
      if (!this.#headBegun && !(await this.#isOurs())) return {};
      // Blank again at both ends, so that the next run needs no --force; while the claim is there, it goes last.
      if (!this.#headBegun) {
        await this.#zeroEdges().catch(() => {
          // A device that fails here: the claim, which matters more, is still to be wiped.
        });
      }
      await this.#io.write(0, new Uint8Array(this.layout.headSize));
      await this.#io.sync();
      if (this.#headBegun) await this.#zeroEdges();
      return {};
    } catch (error) {
      return { problem: `the claim block on ${this.#path} could not be removed: ${messageOf(error)}` };
    }
  }

  async #zeroEdges(): Promise<void> {
    for (const { offset, length } of this.layout.zeroed) await this.#io.write(offset, new Uint8Array(length));
    await this.#io.sync();
  }

  async #isOurs(): Promise<boolean> {
    const found = parseClaim(await this.#io.read({ offset: 0, length: this.layout.headSize }));
    return found?.runId === this.#claim.runId && found.planId === this.#claim.planId;
  }

  async #proveEdges(edges: readonly Uint8Array[]): Promise<void> {
    for (const [index, range] of this.layout.edges.entries()) {
      const read = await this.#io.read(range);
      const edge = edges[index] ?? new Uint8Array();
      if (Buffer.compare(read, edge) === 0) continue;
      const different = read.findIndex((byte, position) => byte !== edge[position]);
      await this.#io.write(0, new Uint8Array(this.layout.headSize));
      await this.#io.sync();
      throw new DatamoverError(
        'VERIFY_MISMATCH',
        `${this.#path}: read-back mismatch at offset ${range.offset + different}`,
        {
          hint: 'check the health of the device (`dmesg`), and restore to another one; it lost or changed written data',
        },
      );
    }
  }

  #claimLost(): DatamoverError {
    return new DatamoverError(
      'TARGET_BUSY',
      `another process wrote to ${this.#path} during the restore: claim block missing`,
      {
        hint: `stop the process that uses the device (\`fuser -v ${this.#path}\`), then run again with --force`,
      },
    );
  }
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === length) return bytes;
  const whole = new Uint8Array(length);
  whole.set(bytes);
  return whole;
}
