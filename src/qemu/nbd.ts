// `qemu-nbd`: shows what a graph holds as a read-only NBD export with the empty name.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { access, link, lstat, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { sleep } from '../concurrency.ts';
import { DatamoverError, messageOf, systemCode } from '../errors.ts';
import { fitsSocketPath, MAX_SOCKET_PATH } from '../socket-path.ts';
import { type BlockGraph, toFilename } from './graph.ts';
import { startTool } from './run.ts';
import { lastErrorLine } from './said.ts';

/** Where it listens: a Unix socket that does not exist yet, or a port of the loopback address. */
export type Listen = { readonly kind: 'unix'; readonly path: string } | { readonly kind: 'tcp'; readonly port: number };

export interface QemuNbdOptions {
  readonly source: BlockGraph;
  readonly listen: Listen;
  /** Clients at the same time; 16 by default. */
  readonly clients?: number;
  readonly signal: AbortSignal;
}

/**
 * Runs `work` while the export is served; it is given a URI that answers already, and a signal that is aborted when
 * `signal` is or when qemu-nbd ends by itself. Returns what `work` does, after qemu-nbd ended and its socket is gone.
 * @throws DatamoverError LISTEN_FAILED when it cannot listen there, TOOL_FAILED when it ends by itself. The signal's
 * reason when that was aborted.
 */
export async function withQemuNbd<T>(
  options: QemuNbdOptions,
  work: (uri: string, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { source, listen, clients = 16, signal } = options;
  const hidden = temporaryAddress(listen);
  const stop = new AbortController();
  const where = hidden.kind === 'unix' ? ['-k', hidden.path] : ['-b', '127.0.0.1', '-p', `${hidden.port}`];
  const args = ['-r', '-t', '-e', `${clients}`, ...where, toFilename(source)];
  const child = startTool('qemu-nbd', args, { signal: AbortSignal.any([signal, stop.signal]) });
  child.stdout.resume();
  const died = new AbortController();
  const ended = child.ended.then(
    ({ exitCode, stderr }) => died.abort(toServerError(listen, exitCode, stderr)),
    // The signal's reason, or ours when we stop it; for `work` it is the end in either case.
    (error: unknown) => died.abort(error),
  );
  let shown: string | undefined;
  try {
    await waitUntilReady(hidden, died.signal);
    shown = await publishSocket(hidden, listen);
    const result = await work(uriOf(listen), died.signal);
    died.signal.throwIfAborted();
    return result;
  } catch (error) {
    // What ended the server is the cause of whatever the work ran into.
    died.signal.throwIfAborted();
    throw error;
  } finally {
    stop.abort();
    await ended;
    if (shown !== undefined) await rm(shown, { force: true });
  }
}

/**
 * LISTEN_FAILED when nothing can listen there as things are; another program may still come first. Leaves nothing behind.
 */
export async function checkListen(listen: Listen): Promise<void> {
  if (listen.kind === 'tcp') return await checkPort(listen);
  temporaryAddress(listen);
  if ((await lstat(listen.path).catch(() => undefined)) !== undefined) throw taken(listen.path);
  await access(dirname(listen.path), constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw qemuListenError(listen, messageOf(error), error);
  });
}

async function checkPort(listen: Listen & { readonly kind: 'tcp' }): Promise<void> {
  const server = createServer().listen({ port: listen.port, host: '127.0.0.1', exclusive: true });
  try {
    await once(server, 'listening');
  } catch (error) {
    const inUse = systemCode(error) === 'EADDRINUSE';
    throw qemuListenError(listen, inUse ? 'Address already in use' : messageOf(error), error);
  } finally {
    server.close();
  }
}

function qemuListenError(listen: Listen, why: string, cause?: unknown): DatamoverError {
  const place = listen.kind === 'unix' ? listen.path : `port ${listen.port}`;
  return new DatamoverError('LISTEN_FAILED', `cannot listen on ${place}: ${why}`, { hint: LISTEN_HINT, cause });
}

function taken(path: string, cause?: unknown): DatamoverError {
  return new DatamoverError('LISTEN_FAILED', `cannot listen on ${path}: already exists`, {
    hint: `if nothing uses it, remove it: rm ${path}`,
    cause,
  });
}

/**
 * A socket exists a moment before it answers, and qemu-nbd replaces whatever has its name: it gets another one beside,
 * and `show` gives it its own when it answers.
 */
function temporaryAddress(listen: Listen): Listen {
  if (listen.kind === 'tcp') return listen;
  const path = join(dirname(listen.path), `.${randomBytes(3).toString('hex')}`);
  if (fitsSocketPath(path) && fitsSocketPath(listen.path)) return { kind: 'unix', path };
  throw qemuListenError(listen, `a socket's path has at most ${MAX_SOCKET_PATH} bytes`);
}

/** Returns the path to remove at the end. */
async function publishSocket(hidden: Listen, listen: Listen): Promise<string | undefined> {
  if (hidden.kind === 'tcp' || listen.kind === 'tcp') return undefined;
  try {
    await link(hidden.path, listen.path);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw taken(listen.path, error);
    throw qemuListenError(listen, messageOf(error), error);
  } finally {
    await rm(hidden.path, { force: true });
  }
  return listen.path;
}

/** `nbd:` URIs as nbdinfo, nbdcopy, qemu-img and the others take them. */
function uriOf(listen: Listen): string {
  if (listen.kind === 'tcp') return `nbd://127.0.0.1:${listen.port}`;
  return `nbd+unix:///?socket=${encodeURIComponent(listen.path).replaceAll('%2F', '/')}`;
}

const LISTEN_HINT = 'choose another address with --socket or --port';

function toServerError(listen: Listen, exitCode: number, stderr: string): DatamoverError {
  const place = listen.kind === 'unix' ? listen.path : `port ${listen.port}`;
  if (/Failed to bind|Failed to listen|Address already in use|too long/.test(stderr)) {
    return new DatamoverError('LISTEN_FAILED', `cannot listen on ${place}${lastErrorLine(stderr)}`, {
      hint: LISTEN_HINT,
    });
  }
  return new DatamoverError('TOOL_FAILED', `qemu-nbd exited with status ${exitCode}${lastErrorLine(stderr)}`, {
    hint: 'run again with --log-level debug',
  });
}

const POLL_MS = 20;

/** It says nothing when it is ready, and its socket exists a moment before it listens. */
async function waitUntilReady(listen: Listen, died: AbortSignal): Promise<void> {
  while (!(await answers(listen))) await sleep(POLL_MS, died);
}

function answers(listen: Listen): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = listen.kind === 'unix' ? connect(listen.path) : connect(listen.port, '127.0.0.1');
    const settle = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    // The server speaks first (NBDMAGIC), so that one byte proves that it serves.
    socket.once('data', settle(true)).once('error', settle(false)).once('close', settle(false));
  });
}
