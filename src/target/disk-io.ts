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

  /** Closes what this opened itself. Nothing may be under way. Idempotent. */
  async close(): Promise<void> {
    const buffered = await this.#buffered?.catch(() => undefined);
    this.#buffered = undefined;
    await buffered?.close();
  }

  /** By callbacks: of the thousands of writes of a disk, each would pass through six promises otherwise. */
  #transfer(verb: keyof typeof CALLS, bytes: Uint8Array, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (done: number, error: unknown): void => {
        reject(targetFailure(`cannot ${verb} ${this.#options.path} at offset ${offset + done}`, error));
      };
      const step = (fd: number, done: number): void => {
        CALLS[verb](fd, bytes, done, bytes.length - done, offset + done, (error, count) => {
          if (error !== null) {
            this.#instead(fd, verb, error).then(
              (other) => step(other, done),
              (final: unknown) => failed(done, final),
            );
          } else if (count === 0) {
            failed(done, endsEarly(this.#options.path, offset + done, ENDED[verb]));
          } else if (done + count < bytes.length) {
            step(fd, done + count);
          } else {
            resolve();
          }
        });
      };
      if (bytes.length === 0) resolve();
      else if (this.#buffered === undefined) step(this.#options.handle.fd, 0);
      else
        this.#buffered.then(
          ({ fd }) => step(fd, 0),
          (error: unknown) => failed(0, error),
        );
    });
  }

  /** The descriptor that takes what `fd` refused. Rejects with `error` where none does. */
  async #instead(fd: number, verb: keyof typeof CALLS, error: Error): Promise<number> {
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
