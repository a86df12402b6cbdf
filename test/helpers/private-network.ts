// A network namespace in which nothing can be reached but one server: what a pod behind a strict network policy sees.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { mustRun } from './command.ts';
import { tempFolder } from './tmp.ts';

export interface PrivateNetwork {
  /** For `podman run`. */
  readonly flag: string;
  /** The server's address inside: `http://127.0.0.1:PORT`. */
  readonly endpoint: string;
}

/**
 * Makes a namespace that has a loopback of its own and, on it, one port, which leads to `upstream` (`http://host:port`).
 * Between the two namespaces lies a Unix socket: those are of the file system, not of the network. Ends with `t`.
 */
export async function privateNetwork(t: Test, upstream: string): Promise<PrivateNetwork> {
  const name = `kdm-${crypto.randomUUID().slice(0, 8)}`;
  await mustRun('ip', ['netns', 'add', name]);
  t.teardown(() => mustRun('ip', ['netns', 'delete', name]));
  await mustRun('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  const socketPath = join(tempFolder(t), 'upstream');
  await forward(t, socketPath, new URL(upstream));
  const args = ['netns', 'exec', name, process.execPath, '-e', INSIDE, socketPath];
  const inside = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => ended(inside));
  const [port] = await once(inside.stdout.setEncoding('utf8'), 'data');
  return { flag: `--network=ns:/run/netns/${name}`, endpoint: `http://127.0.0.1:${String(port).trim()}` };
}

const INSIDE = `
const net = require('node:net');
const server = net.createServer((socket) => {
  const upstream = net.connect(process.argv[1]);
  const end = () => { socket.destroy(); upstream.destroy(); };
  socket.on('error', end).on('close', end).pipe(upstream);
  upstream.on('error', end).on('close', end).pipe(socket);
}).listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

async function forward(t: Test, socketPath: string, { hostname, port }: URL): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const upstream = connect(Number(port), hostname);
    const end = (): void => {
      socket.destroy();
      upstream.destroy();
      sockets.delete(socket);
    };
    sockets.add(socket);
    socket.on('error', end).on('close', end).pipe(upstream);
    upstream.on('error', end).on('close', end).pipe(socket);
  });
  server.listen(socketPath);
  await once(server, 'listening');
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}
