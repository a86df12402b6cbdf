// Puts the bytes of a ranged read into a file, in batches: one is filled while the other is written.
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { dataRuns } from '../data-runs.ts';
import type { Sink } from '../store/store.ts';
import { MiB } from '../units.ts';

/** Bytes of one of a sink's two batches: large enough that the calls do not count, small enough for many sinks. */
const BATCH_SIZE = MiB;

export interface BatchBuffers {
  readonly first: Uint8Array;
  readonly second: Uint8Array;
}

export function makeBatchBuffers(): BatchBuffers {
  return { first: Buffer.allocUnsafeSlow(BATCH_SIZE), second: Buffer.allocUnsafeSlow(BATCH_SIZE) };
}

export interface FileSinkOptions {
  readonly handle: FileHandle;
  /** Where the first byte goes. */
  readonly offset: number;
  readonly buffers: BatchBuffers;
  /** Whether the file reads as zeros where the bytes go: then blocks of zeros are left as holes. */
  readonly readsZero: boolean;
  /** Bytes of the file's beginning that get no holes: what rewrites them later must not need space for it. */
  readonly solid: number;
  readonly onBytes: (count: number) => void;
}

/** A sink that writes what it gets into a file; `finish` must be awaited on every path. */
export class FileSink implements Sink {
  readonly #handle: FileHandle;
  readonly #readsZero: boolean;
  readonly #solid: number;
  readonly #onBytes: (count: number) => void;
  #offset: number;
  #active: Uint8Array;
  #idle: Uint8Array;
  #used = 0;
  #crc = 0;
  #pending: Promise<void> | undefined;
  #busy = false;

  constructor({ handle, offset, buffers, readsZero, solid, onBytes }: FileSinkOptions) {
    this.#handle = handle;
    this.#readsZero = readsZero;
    this.#solid = solid;
    this.#offset = offset;
    this.#active = buffers.first;
    this.#idle = buffers.second;
    this.#onBytes = onBytes;
  }

  room(): Uint8Array {
    // What would come in now would be in the file in the place of what is being written.
    if (this.#busy) throw new TypeError('space was requested while the batch is being written');
    return this.#active.subarray(this.#used);
  }

  filled(count: number): Promise<void> | undefined {
    this.#crc = crc32(this.#active.subarray(this.#used, this.#used + count), this.#crc);
    this.#used += count;
    this.#onBytes(count);
    return this.#used === this.#active.length ? this.#flush() : undefined;
  }

  /** Writes the rest, waits for all writes and gives the CRC-32 of all bytes. Rejects with the first write's error. */
  async finish(): Promise<number> {
    await this.#flush();
    await this.#pending;
    return this.#crc;
  }

  /** Begins to write the full batch and gives the write before it, which must end before its memory is filled again. */
  #flush(): Promise<void> | undefined {
    if (this.#used === 0) return this.#pending;
    const before = this.#pending;
    const bytes = this.#active.subarray(0, this.#used);
    const position = this.#offset;
    const write = async (): Promise<void> => {
      await before;
      const whole = this.#readsZero ? Math.min(Math.max(0, this.#solid - position), bytes.length) : bytes.length;
      if (whole > 0) await writeAll(this.#handle, bytes.subarray(0, whole), position);
      for (const [start, end] of dataRuns(bytes.subarray(whole))) {
        await writeAll(this.#handle, bytes.subarray(whole + start, whole + end), position + whole + start);
      }
    };
    this.#pending = write();
    // Awaited by the next flush or by `finish`; until then a failure must not count as unhandled.
    this.#pending.catch(() => {});
    this.#offset += this.#used;
    this.#used = 0;
    [this.#active, this.#idle] = [this.#idle, this.#active];
    return before === undefined ? undefined : this.#until(before);
  }

  async #until(write: Promise<void>): Promise<void> {
    this.#busy = true;
    await write;
    this.#busy = false;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
