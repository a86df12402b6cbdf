// A client's socket as the two phases use it: exact reads, whole writes, and one signal that says when it is over.
import type { Socket } from 'node:net';
import { asleepMs } from '../awake.ts';

/** The peer broke the protocol, or is gone in the middle of a message: the connection cannot go on, and nobody but the peer is to blame. */
export class PeerError extends Error {
  override readonly name = 'PeerError';
}

/** How much is skipped at a time. */
const SKIP_BYTES = 64 * 1024;

export class Channel {
  readonly #socket: Socket;
  readonly #ended = new AbortController();
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    const wake = (): void => this.#wake?.();
    socket.on('readable', wake);
    socket.once('end', () => this.#over('the client has closed the connection'));
    socket.once('close', () => this.#over('the connection is closed'));
    // Whatever failed on the socket ends the connection, and that is told by 'close'; the one who suffers it is the peer.
    socket.once('error', (error) => this.#over(`the connection failed: ${error.message}`));
  }

  /** Aborted with a PeerError when the client is gone, or `end` was called. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Bytes of replies that the client has not taken yet. */
  get unsent(): number {
    return this.#socket.writableLength;
  }

  /**
   * The next `count` bytes, 1 … 64 KiB. Until they are asked for, little more than that is taken from the socket: a client
   * that is not read is held back. Undefined when the client closed before the first of them; PeerError when in between.
   */
  async read(count: number): Promise<Buffer | undefined> {
    while (!this.#socket.destroyed) {
      const bytes: Buffer | null = this.#socket.read(count);
      if (bytes?.length === count) return bytes;
      if (bytes !== null) throw new PeerError(`closed after ${bytes.length} of a message's ${count} bytes`);
      if (this.#socket.readableEnded) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return undefined;
  }

  /** As `read`, where the protocol promises that the bytes follow. */
  async readRest(count: number): Promise<Buffer> {
    const bytes = count === 0 ? Buffer.alloc(0) : await this.read(count);
    if (bytes === undefined) throw new PeerError('closed in the middle of a message');
    return bytes;
  }

  /** Reads over the next `count` bytes, however many, keeping none. */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; left -= SKIP_BYTES) await this.readRest(Math.min(left, SKIP_BYTES));
  }

  /** Reads over all that still comes; resolves when the client closes. */
  async skipAll(): Promise<void> {
    while ((await this.read(1)) !== undefined) this.#socket.read();
  }

  /**
   * Writes the buffers as they are, together, in as few system calls as the socket's own buffer allows. `done` is called
   * when they were written or the connection is over; until then they must not change.
   */
  write(buffers: readonly Uint8Array[], done: () => void): void {
    const last = buffers.length - 1;
    this.#socket.cork();
    for (let index = 0; index < last; index += 1) this.#socket.write(buffers[index] ?? '');
    this.#socket.write(buffers[last] ?? '', done);
    this.#socket.uncork();
  }

  /** As `write`, resolving when it is done. */
  async send(buffers: readonly Uint8Array[]): Promise<void> {
    await new Promise<void>((resolve) => this.write(buffers, resolve));
  }

  /** Calls `look` whenever nothing was received or taken for `ms` while this process ran, until the connection is over. */
  whenStalled(ms: number, look: () => void): void {
    let asleep = asleepMs();
    this.#socket.on('timeout', () => {
      if (asleep === asleepMs()) look();
      asleep = asleepMs();
      this.#socket.setTimeout(ms); // it is told once, unless it is set again
    });
    this.#socket.setTimeout(ms);
  }

  /** Ends the connection at once; what was not written is lost. */
  end(reason: string): void {
    this.#over(reason);
    this.#socket.destroy();
  }

  /** Resolves when the socket is closed and holds nothing any more. */
  async closed(): Promise<void> {
    if (!this.#socket.closed) await new Promise((resolve) => this.#socket.once('close', resolve));
  }

  #over(reason: string): void {
    if (!this.#ended.signal.aborted) this.#ended.abort(new PeerError(reason));
    this.#wake?.();
  }
}
