// For the NBD tests: a server around a test's work, real clients run, and a client of raw bytes.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nbdUri } from '../../src/nbd/address.ts';
import type { Export } from '../../src/nbd/export.ts';
import { type NbdServerOptions, withNbdServer } from '../../src/nbd/server.ts';

export interface Served {
  readonly socketPath: string;
  /** A fresh folder of the test's own, holding the socket. */
  readonly folder: string;
  uri(exportName: string): string;
  readonly signal: AbortSignal;
}

/** Serves on a Unix socket in a fresh folder while `work` runs. */
export async function serving<T>(
  exports: readonly Export[],
  work: (served: Served) => Promise<T>,
  options: Partial<NbdServerOptions> = {},
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'nbd-'));
  const socketPath = join(folder, 's');
  try {
    return await withNbdServer(
      {
        exports: new Map(exports.map((item) => [item.name, item])),
        listen: { socketPath },
        signal: new AbortController().signal,
        ...options,
      },
      (address, signal) => work({ socketPath, folder, signal, uri: (name) => nbdUri(address, name) }),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

const execute = promisify(execFile);

export interface Ran {
  /** 0, or what the program exited with. */
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a client to its end, within a minute. */
export async function run(program: string, ...args: string[]): Promise<Ran> {
  try {
    const { stdout, stderr } = await execute(program, args, { timeout: 60_000, maxBuffer: 64 * 1024 * 1024 });
    return { status: 0, stdout, stderr };
  } catch (error) {
    if (!(error instanceof Error) || !('stdout' in error) || !('stderr' in error) || !('code' in error)) throw error;
    return {
      status: typeof error.code === 'number' ? error.code : String(error.code),
      stdout: String(error.stdout),
      stderr: String(error.stderr),
    };
  }
}

/** A client that says whatever it is told to. */
export class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #closed = false;
  #news = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    const news = (): void => {
      this.#news.resolve();
      this.#news = Promise.withResolvers<void>();
    };
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      news();
    });
    // A hostile client is reset now and then: what counts is that the connection is over.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      news();
    });
  }

  static async open(socketPath: string): Promise<RawClient> {
    const socket = connect(socketPath);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Open, greeted, client flags sent (fixed newstyle, no zeroes). */
  static async greeted(socketPath: string, flags = 3): Promise<RawClient> {
    const client = await RawClient.open(socketPath);
    await client.take(18);
    client.say(u32(flags));
    return client;
  }

  /** In the transmission phase of an export. */
  static async entered(socketPath: string, exportName: string, structured = false): Promise<RawClient> {
    const client = await RawClient.greeted(socketPath);
    if (structured) {
      client.option(8);
      await client.take(20);
    }
    client.option(1, Buffer.from(exportName));
    await client.take(10);
    return client;
  }

  say(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  option(option: number, data: Uint8Array = new Uint8Array(0)): void {
    this.say(Buffer.from('IHAVEOPT'), u32(option), u32(data.length), data);
  }

  request(type: number, cookie: number, offset: bigint | number, length: number, flags = 0): void {
    this.say(request(type, cookie, offset, length, flags));
  }

  /** The next `count` bytes; rejects when the connection is over before. */
  async take(count: number): Promise<Buffer> {
    while (this.#received.length < count) {
      if (this.#closed) throw new Error(`closed after ${this.#received.length} of ${count} bytes`);
      await this.#news.promise;
    }
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  /** One option reply: its type and data. */
  async reply(): Promise<{ readonly option: number; readonly type: number; readonly data: Buffer }> {
    const header = await this.take(20);
    const data = await this.take(header.readUInt32BE(16));
    return { option: header.readUInt32BE(8), type: header.readUInt32BE(12), data };
  }

  /** One structured reply chunk. */
  async chunk(): Promise<{
    readonly flags: number;
    readonly type: number;
    readonly cookie: bigint;
    readonly data: Buffer;
  }> {
    const header = await this.take(20);
    const data = await this.take(header.readUInt32BE(16));
    return { flags: header.readUInt16BE(4), type: header.readUInt16BE(6), cookie: header.readBigUInt64BE(8), data };
  }

  /** One simple reply without its data. */
  async simple(): Promise<{ readonly error: number; readonly cookie: bigint }> {
    const header = await this.take(16);
    return { error: header.readUInt32BE(4), cookie: header.readBigUInt64BE(8) };
  }

  /** What came until the server closed the connection. */
  async rest(): Promise<Buffer> {
    while (!this.#closed) await this.#news.promise;
    return this.#received;
  }

  end(): void {
    this.socket.destroy();
  }
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: bigint | number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function request(type: number, cookie: number, offset: bigint | number, length: number, flags = 0): Buffer {
  return Buffer.concat([u32(0x25609513), u16(flags), u16(type), u64(cookie), u64(offset), u32(length)]);
}

/** A string as the options carry it: 32 bits length, text. */
export function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u32(bytes.length), bytes]);
}
