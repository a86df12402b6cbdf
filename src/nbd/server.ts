// The server: a listener and its connections, alive exactly as long as the work that uses them.
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { DatamoverError, messageOf, systemCode } from '../errors.ts';
import { fitsSocketPath, MAX_SOCKET_PATH } from '../socket-path.ts';
import { MiB } from '../units.ts';
import type { NbdAddress } from './address.ts';
import { ByteBudget } from './budget.ts';
import { Channel, PeerError } from './channel.ts';
import { type Exports, negotiate } from './handshake.ts';
import { transmit } from './transmission.ts';

interface NbdLimits {
  /** The largest READ that is served, in bytes: told to clients as the maximum block size. ≤ 32 MiB. */
  readonly maxRequest: number;
  /** Bytes of requests under way, per connection and in all; a single request is served whatever its size. */
  readonly connectionBytes: number;
  readonly serverBytes: number;
  /** Clients at a time; further ones are closed at once. */
  readonly connections: number;
  /** A client that takes no byte of its replies for so long is closed, if others wait for the room that it holds. */
  readonly stallMs: number;
}

export interface NbdServerOptions {
  /** Looked up whenever a client asks, so exports may come and go. A `Map` from name to export is one. */
  readonly exports: Exports;
  /** For a Unix socket: its folder must exist and be ours (0700). Port 0 lets the system choose. */
  readonly listen: NbdAddress;
  /** Told when an export failed or broke its contract; the client only learns EIO. Must not throw. */
  readonly onError?: (exportName: string, error: unknown) => void;
  readonly limits?: Partial<NbdLimits>;
  readonly signal: AbortSignal;
}

const DEFAULT_LIMITS: NbdLimits = {
  maxRequest: 32 * MiB,
  connectionBytes: 32 * MiB,
  // qemu has at most 16 requests of 2 MiB under way in a convert, however many layers there are.
  serverBytes: 64 * MiB,
  connections: 1024,
  stallMs: 30_000,
};

/**
 * Serves `exports` while `work` runs; `work` is given the address (the port that was chosen, too) and a signal that is
 * aborted with `signal`, or when the server fails. Answers from the moment that `work` begins. When this returns or
 * rejects, all connections are closed, all reads have ended and the socket's file is gone. Aborting `signal` ends the
 * connections at once. Rejects as `work` does; with LISTEN_FAILED when the address cannot be had.
 */
export async function withNbdServer<T>(
  options: NbdServerOptions,
  work: (address: NbdAddress, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  options.signal.throwIfAborted();
  const ending = new AbortController();
  const signal = AbortSignal.any([options.signal, ending.signal]);
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    ending.abort(error);
  };
  const server = createServer({ noDelay: true });
  const connections = acceptInto(server, options, signal, fail);
  try {
    const address = await listen(server, options.listen, signal);
    const result = await work(address, signal);
    if (failure !== undefined) throw failure.error;
    return result;
  } finally {
    ending.abort();
    await Promise.all([closeServer(server), ...connections]);
  }
}

/** Serves whoever connects; returns the connections that are open, each a promise that resolves when it is closed. */
function acceptInto(
  server: Server,
  options: NbdServerOptions,
  signal: AbortSignal,
  fail: (error: unknown) => void,
): ReadonlySet<Promise<void>> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const serving = {
    ...limits,
    exports: options.exports,
    serverBudget: new ByteBudget(limits.serverBytes),
    onError: options.onError ?? (() => {}),
  };
  const connections = new Set<Promise<void>>();
  server.maxConnections = limits.connections;
  server.on('connection', (socket) => {
    const connection = serveClient(socket, serving, signal)
      .catch(fail)
      .finally(() => connections.delete(connection));
    connections.add(connection);
  });
  return connections;
}

type Serving = Parameters<typeof negotiate>[1] & Parameters<typeof transmit>[2] & Pick<NbdLimits, 'stallMs'>;

/** One client from greeting to close. Rejects only for a bug of ours. */
async function serveClient(socket: Socket, serving: Serving, signal: AbortSignal): Promise<void> {
  const channel = new Channel(socket);
  const end = (): void => channel.end('the server stops');
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  channel.whenStalled(serving.stallMs, () => {
    if (channel.unsent > 0 && serving.serverBudget.contended)
      channel.end('the client does not read its replies while others wait');
  });
  try {
    const session = await negotiate(channel, serving);
    if (session !== undefined) await transmit(channel, session, serving);
  } catch (error) {
    // The client's own fault, and its loss: it sees the connection closed, and the others are served on.
    if (!(error instanceof PeerError)) throw error;
  } finally {
    signal.removeEventListener('abort', end);
    channel.end('done');
    await channel.closed();
  }
}

async function listen(server: Server, where: NbdAddress, signal: AbortSignal): Promise<NbdAddress> {
  const path = 'socketPath' in where ? where.socketPath : undefined;
  if (path !== undefined && !fitsSocketPath(path)) {
    throw new DatamoverError(
      'LISTEN_FAILED',
      `cannot listen on ${path}: a socket's path has at most ${MAX_SOCKET_PATH} bytes`,
      {
        hint: 'choose a shorter path, for example in /tmp or $XDG_RUNTIME_DIR',
      },
    );
  }
  // Once it listens, an error means a connection that cannot be accepted: that client's loss, and the listener goes on.
  server.on('error', () => {});
  try {
    server.listen({ ...(path === undefined ? where : { path }), signal });
    await once(server, 'listening', { signal });
    if (path !== undefined) await chmod(path, 0o600);
  } catch (error) {
    signal.throwIfAborted();
    throw listenError(where, error);
  }
  const bound = server.address();
  return path === undefined && bound !== null && typeof bound === 'object' ? { ...where, port: bound.port } : where;
}

const LISTEN_HINTS: ReadonlyMap<string | undefined, string> = new Map([
  ['EADDRINUSE', 'choose another address, or remove a socket that no server uses any more'],
  ['EACCES', 'choose a writable directory, or a port above 1023'],
  ['ENOENT', 'create the directory of the socket first'],
]);

function listenError(where: NbdAddress, cause: unknown): DatamoverError {
  const place = 'socketPath' in where ? where.socketPath : `${where.host} port ${where.port}`;
  return new DatamoverError('LISTEN_FAILED', `cannot listen on ${place}: ${messageOf(cause)}`, {
    hint: LISTEN_HINTS.get(systemCode(cause)) ?? 'choose another socket or port',
    cause,
  });
}

/** Resolves when the listener and its socket file are gone; at once when it never listened, which is all `close` then complains of. */
async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
