// Reads and writes of a target, several at a time, from memory of the caller: past the page cache where that is possible.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { systemCode } from '../errors.ts';
import { endsEarly } from './device-io.ts';
import { targetFailure } from './failure.ts';

export interface DiskIo {
  /** Bytes. Offsets, and addresses in memory, are multiples of it; lengths too, but at the end of the disk. */
  readonly unit: number;
  /** All of `bytes`. They stay as they are until this settles. Rejects as `targetFailure`. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Fills `room`. Rejects as `targetFailure`. */
  read(room: Uint8Array, offset: number): Promise<void>;
}

export interface HeldIoOptions {
  /** Held by the caller, who closes it after this. */
  readonly handle: FileHandle;
  /** Whether `handle` was opened with O_DIRECT. */
  readonly direct: boolean;
  /** For messages. */
  readonly path: string;
  readonly unit: number;
}

/** Through a descriptor that is held on the target. */
export class HeldIo implements DiskIo {
  readonly unit: number;
  readonly #options: HeldIoOptions;
  #buffered: Promise<FileHandle> | undefined;

  constructor(options: HeldIoOptions) {
    this.#options = options;
    this.unit = options.unit;
  }

  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const count = await this.#call('write', offset + done, async (handle) => {
        return (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      });
      if (count === 0) throw endsEarly(this.#options.path, offset + done, 'written');
      done += count;
    }
  }

  async read(room: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < room.length; ) {
      const count = await this.#call('read', offset + done, async (handle) => {
        return (await handle.read(room, done, room.length - done, offset + done)).bytesRead;
      });
      if (count === 0) throw endsEarly(this.#options.path, offset + done, 'read');
      done += count;
    }
  }

  /** Closes what this opened itself. Nothing may be under way. Idempotent. */
  async close(): Promise<void> {
    const buffered = await this.#buffered?.catch(() => undefined);
    this.#buffered = undefined;
    await buffered?.close();
  }

  async #call(verb: 'read' | 'write', offset: number, call: (handle: FileHandle) => Promise<number>): Promise<number> {
    const { handle, direct, path } = this.#options;
    try {
      if (!direct || this.#buffered !== undefined) return await call((await this.#buffered) ?? handle);
      try {
        return await call(handle);
      } catch (error) {
        // Some drivers take O_DIRECT when they are opened, and refuse it at the request.
        if (systemCode(error) !== 'EINVAL') throw error;
        this.#buffered ??= reopen(handle, verb === 'read' ? constants.O_RDONLY : constants.O_RDWR);
        return await call(await this.#buffered);
      }
    } catch (error) {
      throw targetFailure(`cannot ${verb} ${path} at offset ${offset}`, error);
    }
  }
}

/** Another descriptor of the very file or device, whatever its name means by now. Rejects with the system's error. */
export async function reopen(handle: FileHandle, flags: number): Promise<FileHandle> {
  return await open(`/proc/self/fd/${handle.fd}`, flags);
}
