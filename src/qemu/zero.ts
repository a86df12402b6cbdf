// `qemu-io`'s `write -z -u`: makes ranges of a device or file read as zeros, by unmapping where that does it. One child for
// many ranges: it reads a command, answers, and waits for the next.
import type { CacheMode } from '../direct-io.ts';
import { DatamoverError } from '../errors.ts';
import { type ByteRange, GiB, MiB } from '../units.ts';
import { deviceNode, fileNode, rawNode, toUnflushedFilename } from './graph.ts';
import { QemuIo } from './qemu-io.ts';
import { isOutOfSpace, lastErrorLine } from './said.ts';

export interface ZeroOptions {
  readonly path: string;
  /** Whether `path` is a block device. */
  readonly device: boolean;
  /** How it is opened. */
  readonly cache: CacheMode;
  readonly signal: AbortSignal;
}

export interface Zeroer {
  /**
   * Whether the target zeroes without writing zeros, as far as the first step showed; undefined before it. The size of a device's
   * `write_zeroes_max_bytes` does not tell: some that have it write zeros all the same.
   */
  readonly fast: boolean | undefined;
  /** The most bytes of the first step. */
  readonly firstStep: number;
  /**
   * Zeroes a range of complete sectors of 512 bytes inside the target. `onStep` gets the bytes of each step; what it throws ends the
   * zeroing. Flushing is the caller's. Ranges are zeroed one after another. @throws DatamoverError TARGET_FULL, TARGET_WRITE_FAILED
   */
  zero(range: ByteRange, onStep?: (count: number) => void): Promise<void>;
}

/** Below the 2 GiB that one request may have. */
const FAST_STEP = GiB;
/**
 * On a device that zeroes by writing: a child that is ended waits for the step under way, which at 20 MB/s takes 3 s of the
 * 10 s that a cancelled run has. The first step is such a one too.
 */
const SLOW_STEP = 64 * MiB;
/** Bytes a millisecond from which on zeroing is fast: no device here writes 2 GiB/s. */
const FAST_RATE = (2 * GiB) / 1000;
/** So long may a step take that is too small to be measured: the answer has to pass two processes. */
const FAST_MS = 10;

/** Gives `work` a zeroer; qemu-io is started when there is something to zero, and has ended when this settles. */
export async function withZeroer<T>(options: ZeroOptions, work: (zeroer: Zeroer) => Promise<T>): Promise<T> {
  const zeroer = new QemuIoZeroer(options);
  try {
    return await work(zeroer);
  } finally {
    await zeroer.end();
  }
}

class QemuIoZeroer implements Zeroer {
  readonly firstStep = SLOW_STEP;
  readonly #options: ZeroOptions;
  #shell: QemuIo | undefined;
  #turn: Promise<void> = Promise.resolve();
  #fast: boolean | undefined;

  constructor(options: ZeroOptions) {
    this.#options = options;
  }

  get fast(): boolean | undefined {
    return this.#fast;
  }

  async zero(range: ByteRange, onStep?: (count: number) => void): Promise<void> {
    const mine = this.#turn.then(() => this.#zero(range, onStep));
    this.#turn = mine.catch(() => {});
    await mine;
  }

  async end(): Promise<void> {
    await this.#turn;
    await this.#shell?.end();
  }

  async #zero({ offset, length }: ByteRange, onStep?: (count: number) => void): Promise<void> {
    for (let done = 0; done < length; ) {
      const step = Math.min(this.#fast === true ? FAST_STEP : SLOW_STEP, length - done);
      await this.#step(offset + done, step);
      done += step;
      onStep?.(step);
    }
  }

  async #step(offset: number, length: number): Promise<void> {
    this.#options.signal.throwIfAborted();
    this.#shell ??= this.#open();
    // Starting is not what is measured.
    const refused = (await this.#shell.ready()) ?? (await this.#timed(this.#shell, offset, length));
    if (refused !== undefined) throw zeroError(`zeroing ${this.#options.path} at offset ${offset} failed`, refused);
  }

  #open(): QemuIo {
    const { path, device, cache, signal } = this.#options;
    const node = toUnflushedFilename(rawNode(device ? deviceNode(path) : fileNode(path)));
    return new QemuIo(['-f', 'raw', '-t', cache, node], signal);
  }

  async #timed(shell: QemuIo, offset: number, length: number): Promise<string | undefined> {
    const began = performance.now();
    const refused = await shell.run(`write -q -z -u ${offset} ${length}`);
    this.#fast ??= performance.now() - began <= Math.max(FAST_MS, length / FAST_RATE);
    return refused;
  }
}

function zeroError(what: string, said: string): DatamoverError {
  const message = `${what}${lastErrorLine(said)}`;
  if (isOutOfSpace(said)) {
    return new DatamoverError('TARGET_FULL', message, {
      hint: 'add space to the pool of the thin volume, then run the same command again',
    });
  }
  return new DatamoverError('TARGET_WRITE_FAILED', message, {
    hint: 'check the kernel log (`dmesg`) for errors of the device, then run the same command again',
  });
}
