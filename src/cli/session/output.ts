// stdout and stderr as the program writes to them: a result completely or not at all, a log as far as it is read.
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty, type WriteStream } from 'node:tty';
import { messageOf } from '../../errors.ts';
import type { LostLines, TextStream } from './context.ts';
import { type Descriptor, openDescriptor } from './descriptor.ts';

/** Without an event for "it takes bytes again", the descriptor is asked in these intervals. */
const RETRY_MS = { first: 1, longest: 50 };
/** A log that is not read is kept up to here; later lines are dropped. */
const MAX_PENDING = 256 * 1024;
/** Few frames of a live view shall wait for a terminal that was stopped. */
const LOG_HIGH_WATER_MARK = 4 * 1024;

/** Control sequence introducer (ECMA-48). */
const CSI = '\u001B[';

type NodeStream = Writable & Partial<Pick<WriteStream, 'columns' | 'rows'>>;
type Done = (error?: Error | null) => void;

abstract class OutputStream extends Writable implements TextStream {
  readonly fd: 1 | 2;
  readonly isTTY: boolean;
  /** Bytes that the descriptor has taken. */
  bytesTaken = 0;
  protected readonly descriptor: Descriptor;
  readonly #terminal: NodeStream | undefined;

  /** `nodeStream` gives Node's own stream of the descriptor `fd`. */
  constructor(fd: 1 | 2, nodeStream: () => NodeStream, highWaterMark?: number) {
    super({ decodeStrings: true, ...(highWaterMark === undefined ? {} : { highWaterMark }) });
    const used = (): NodeStream => nodeStream().on('error', ignore);
    this.fd = fd;
    this.isTTY = isatty(fd);
    this.#terminal = this.isTTY ? used() : undefined;
    this.descriptor = openDescriptor(fd, used);
    this.on('error', ignore);
  }

  get columns(): number | undefined {
    return sizeOrUndefined(this.#terminal?.columns);
  }

  get rows(): number | undefined {
    return sizeOrUndefined(this.#terminal?.rows);
  }

  protected async writeAll(bytes: Buffer): Promise<void> {
    let written = 0;
    let wait = RETRY_MS.first;
    while (written < bytes.length) {
      const count = await this.descriptor.write(bytes.subarray(written));
      written += count;
      this.bytesTaken += count;
      if (count > 0) {
        wait = RETRY_MS.first;
        continue;
      }
      await delay(wait);
      wait = Math.min(wait * 2, RETRY_MS.longest);
    }
  }
}

/** stdout: what was not written completely is an error of the write's callback; the reader is waited for. */
export class ResultStream extends OutputStream {
  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    this.writeAll(chunk).then(() => done(), done);
  }

  /** Rejects when what was written cannot be stored. */
  async flush(): Promise<void> {
    await this.descriptor.flush();
  }
}

/** stderr: never fails and holds little; what cannot be written is counted and dropped. */
export class LogStream extends OutputStream implements TextStream {
  exitSequence = '';
  lost: LostLines | undefined;

  constructor(fd: 1 | 2, nodeStream: () => NodeStream) {
    super(fd, nodeStream, LOG_HIGH_WATER_MARK);
  }

  override write(chunk: string | Uint8Array, encodingOrDone?: BufferEncoding | Done, done?: Done): boolean {
    const bytes = Buffer.from(chunk);
    const whenDone = typeof encodingOrDone === 'function' ? encodingOrDone : done;
    if (this.writableLength + bytes.length <= MAX_PENDING) return super.write(bytes, whenDone);
    this.#lose(bytes, 'the log is not read');
    whenDone?.();
    return false;
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: Done): void {
    const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk));
    const before = this.bytesTaken;
    this.writeAll(bytes)
      .catch((error: unknown) => this.#lose(bytes.subarray(this.bytesTaken - before), messageOf(error)))
      .finally(() => done());
  }

  // What a terminal's stream has besides (node:tty), for whoever draws. node:readline has these too, and takes 6 ms to load.
  cursorTo(x: number, y?: number): boolean {
    return this.write(y === undefined ? `${CSI}${x + 1}G` : `${CSI}${y + 1};${x + 1}H`);
  }

  moveCursor(dx: number, dy: number): boolean {
    const across = dx === 0 ? '' : `${CSI}${Math.abs(dx)}${dx > 0 ? 'C' : 'D'}`;
    const along = dy === 0 ? '' : `${CSI}${Math.abs(dy)}${dy > 0 ? 'B' : 'A'}`;
    return this.write(across + along);
  }

  clearLine(direction: -1 | 0 | 1): boolean {
    return this.write(`${CSI}${{ '-1': 1, 0: 2, 1: 0 }[direction]}K`);
  }

  /** Resolves when all is written, or the other end has taken nothing for `patienceMs`. */
  async settle(patienceMs: number): Promise<void> {
    const written = new Promise<void>((resolve) => super.write('', () => resolve()));
    while (this.writableLength > 0) {
      const before = this.bytesTaken;
      const stop = new AbortController();
      const late = delay(patienceMs, undefined, { signal: stop.signal }).catch(ignore);
      await Promise.race([written, late]);
      stop.abort();
      if (this.bytesTaken === before) return;
    }
  }

  /** Writes `exitSequence` at once, where that cannot block: for the very end of the process. */
  writeExitSequence(): void {
    try {
      if (this.exitSequence !== '') this.descriptor.writeNow?.(Buffer.from(this.exitSequence));
    } catch {
      // The terminal is gone, and needs nothing.
    }
  }

  #lose(bytes: Buffer, reason: string): void {
    const lines = bytes.toString('latin1').split('\n').length - 1;
    this.lost = { lines: (this.lost?.lines ?? 0) + lines, reason };
  }
}

/** Terminals without a size say 0. */
function sizeOrUndefined(size: number | undefined): number | undefined {
  return size === undefined || size <= 0 ? undefined : size;
}

function ignore(): void {}
