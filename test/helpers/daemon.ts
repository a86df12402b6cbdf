// A server program on a port of loopback, which ends with its owner.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Owner } from './tmp.ts';

export interface DaemonOptions {
  readonly args: readonly string[];
  /** The ports that it must listen on before it counts as started. */
  readonly ports: readonly number[];
  readonly cwd?: string;
}

/** Starts a program in the foreground and waits until it listens; it is ended with `t`, and killed with this process. */
export async function startDaemon(t: Owner, program: string, { args, ports, cwd }: DaemonOptions): Promise<void> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
    ...(cwd === undefined ? {} : { cwd }),
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    said += piece;
  });
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  for (const port of ports) {
    while (!(await listens(port))) {
      if (hasEnded(child)) throw new Error(`${program} ended: ${said}`);
      await delay(20);
    }
  }
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** A port of loopback that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // Not yet.
    return false;
  } finally {
    socket.destroy();
  }
}
