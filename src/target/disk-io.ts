// Reads and writes of a target, several at a time, from memory of the caller: past the page cache where that is possible.
import { constants, read, write } from 'node:fs';
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
  #running = 0;
  #onIdle: (() => void)[] = [];

  constructor(options: HeldIoOptions) {
    this.#options = options;
    this.unit = options.unit;
  }

  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#transfer('write', bytes, offset);
  }

  read(room: Uint8Array, offset: number): Promise<void> {
    return this.#transfer('read', room, offset);
  }

  /**
   * Waits for what is under way, which would reach another file if the descriptor were closed and its number used again, and closes
   * what this opened itself. Idempotent.
   */
  async close(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    const buffered = await this.#buffered?.catch(() => undefined);
    this.#buffered = undefined;
    await buffered?.close();
  }

  /** By callbacks: of the thousands of writes of a disk, each would pass through six promises otherwise. */
  #transfer(verb: keyof typeof CALLS, bytes: Uint8Array, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#running += 1;
      const end = (): void => {
        this.#running -= 1;
        if (this.#running === 0) for (const onIdle of this.#onIdle.splice(0)) onIdle();
      };
      const fail = (done: number, error: unknown): void => {
        end();
        reject(targetFailure(`cannot ${verb} ${this.#options.path} at offset ${offset + done}`, error));
      };
      const take = (fd: number, done: number, error: Error | null, count: number): void => {
        if (error !== null)
          this.#otherThan(fd, verb, error)
            .then((other) => step(other, done))
            .catch((final: unknown) => fail(done, final));
        else if (count === 0) fail(done, endsEarly(this.#options.path, offset + done, ENDED[verb]));
        else step(fd, done + count);
      };
      const step = (fd: number, done: number): void => {
        if (done < bytes.length) {
          CALLS[verb](fd, bytes, done, bytes.length - done, offset + done, (error, count) =>
            take(fd, done, error, count),
          );
        } else {
          end();
          resolve();
        }
      };
      this.#descriptor(step, fail);
    });
  }

  /** Calls `start` with the descriptor to begin with. */
  #descriptor(start: (fd: number, done: number) => void, fail: (done: number, error: unknown) => void): void {
    if (this.#buffered !== undefined) {
      this.#buffered.then(({ fd }) => start(fd, 0)).catch((error: unknown) => fail(0, error));
      return;
    }
    try {
      start(this.#options.handle.fd, 0);
    } catch (error) {
      fail(0, error);
    }
  }

  /** The descriptor that takes what `fd` refused. Rejects with `error` where none does. */
  async #otherThan(fd: number, verb: keyof typeof CALLS, error: Error): Promise<number> {
    const { handle, direct } = this.#options;
    // Some drivers take O_DIRECT when they are opened, and refuse it at the request.
    if (!direct || fd !== handle.fd || systemCode(error) !== 'EINVAL') throw error;
    this.#buffered ??= reopen(handle, verb === 'read' ? constants.O_RDONLY : constants.O_RDWR);
    return (await this.#buffered).fd;
  }
}

type Call = (
  fd: number,
  memory: Uint8Array,
  from: number,
  length: number,
  position: number,
  done: (error: Error | null, count: number) => void,
) => void;

const CALLS: Readonly<Record<'read' | 'write', Call>> = { read, write };
const ENDED = { read: 'read', write: 'written' } as const;

/** Another descriptor of the very file or device, whatever its name means by now. Rejects with the system's error. */
export async function reopen(handle: FileHandle, flags: number): Promise<FileHandle> {
  return await open(`/proc/self/fd/${handle.fd}`, flags);
}
