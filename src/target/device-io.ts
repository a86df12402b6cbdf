// Reads and writes of a device through the one descriptor that is held on it, past the page cache where it allows that.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { DatamoverError, systemCode } from '../errors.ts';
import { alignUp, type ByteRange, MiB } from '../units.ts';
import { targetFailure } from './failure.ts';

// The language's own, which the type library has only for browsers.
declare const WebAssembly: {
  readonly Memory: new (options: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

/**
 * A device, open for reading and writing and held exclusively (O_EXCL): mkfs, mount and a second holder get EBUSY, a
 * plain opener such as qemu-img does not. One call at a time, `sync` apart: they share one piece of memory. Failures are
 * those of `targetFailure`.
 *
 * With O_DIRECT, which all but odd drivers take, reads see what is on the device and writes are not kept in the page
 * cache; the kernel writes back and drops the cached pages of the range first, so that others' cached writes to the same
 * device (qemu-img with cache=writeback, blkid's reads) stay coherent. Where O_DIRECT is refused, reads come from the
 * page cache: Node can neither drop it (posix_fadvise) nor flush it (BLKFLSBUF).
 */
export class DeviceIo {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #sectorSize: number;
  /** Node's buffers are not aligned, which O_DIRECT answers with EINVAL; a WebAssembly memory begins on a page. */
  readonly #memory = new Uint8Array(new WebAssembly.Memory({ initial: CHUNK_PAGES, maximum: CHUNK_PAGES }).buffer);

  constructor(handle: FileHandle, options: { readonly path: string; readonly sectorSize: number }) {
    this.#handle = handle;
    this.#path = options.path;
    this.#sectorSize = options.sectorSize;
  }

  /** The bytes of a range, whose offset is a multiple of the sector and which lies inside the device. */
  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; done += this.#memory.length) {
      const part = Math.min(this.#memory.length, length - done);
      await this.#fill(offset + done, alignUp(part, this.#sectorSize));
      bytes.set(this.#memory.subarray(0, part), done);
    }
    return bytes;
  }

  /** Writes from an offset that is a multiple of the sector; a last sector that is not whole is filled up with zeros. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; done += this.#memory.length) {
      const part = bytes.subarray(done, done + this.#memory.length);
      const length = alignUp(part.length, this.#sectorSize);
      this.#memory.set(part);
      this.#memory.fill(0, part.length, length);
      await this.#drain(offset + done, length);
    }
  }

  /** What was written by anybody is on the device when this returns. */
  async sync(): Promise<void> {
    try {
      await this.#handle.sync();
    } catch (error) {
      throw targetFailure(`cannot flush ${this.#path}`, error);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #fill(offset: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const count = await this.#call('read', offset + done, () =>
        this.#handle.read(this.#memory, done, length - done, offset + done),
      ).then((result) => result.bytesRead);
      if (count === 0) throw endsEarly(this.#path, offset + done, 'read');
      done += count;
    }
  }

  async #drain(offset: number, length: number): Promise<void> {
    for (let done = 0; done < length; ) {
      const count = await this.#call('write', offset + done, () =>
        this.#handle.write(this.#memory, done, length - done, offset + done),
      ).then((result) => result.bytesWritten);
      if (count === 0) throw endsEarly(this.#path, offset + done, 'written');
      done += count;
    }
  }

  async #call<T>(verb: string, offset: number, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw targetFailure(`cannot ${verb} ${this.#path} at offset ${offset}`, error);
    }
  }
}

/**
 * Opens a block device O_RDWR and O_EXCL, with O_DIRECT where it takes that. Throws the system's error: EBUSY when it is
 * mounted, swap, or held by dm, md or another exclusive opener. Closed by the caller.
 */
export async function openHeld(path: string): Promise<{ readonly handle: FileHandle; readonly direct: boolean }> {
  const flags = constants.O_RDWR | constants.O_EXCL;
  try {
    return { handle: await open(path, flags | constants.O_DIRECT), direct: true };
  } catch (error) {
    if (systemCode(error) !== 'EINVAL') throw error;
    return { handle: await open(path, flags), direct: false };
  }
}

/** What a read or write of 0 bytes means. */
export function endsEarly(path: string, offset: number, verb: 'read' | 'written'): DatamoverError {
  return new DatamoverError('TARGET_WRITE_FAILED', `${path} ends at offset ${offset}, where it should be ${verb}`, {
    hint: 'check what changed the size of the device, then run again',
  });
}

/** WebAssembly's page is 64 KiB; an edge, the largest piece that is read or written, is 1 MiB and little more. */
const CHUNK_PAGES = (2 * MiB) / 65536;
