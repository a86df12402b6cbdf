// A qemu-storage-daemon for as long as some work takes: the block layer and the jobs of a VM's QEMU, without the VM.
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';

const MESSAGE = z.looseObject({
  event: z.string().optional(),
  data: z.looseObject({ id: z.string().optional(), status: z.string().optional() }).optional(),
  return: z.unknown().optional(),
  error: z.looseObject({ desc: z.string() }).optional(),
  id: z.number().optional(),
});

const JOBS = z.array(z.looseObject({ id: z.string(), error: z.string().optional() }));

export interface StorageDaemon {
  /** The NBD server's Unix socket; an export must be added before a client finds it. */
  readonly nbdSocket: string;
  /** One QMP command and its answer. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** A QMP command that starts a job which is not dismissed by itself; returns when it is over, rejects with its error. */
  runJob(command: string, id: string, args: Readonly<Record<string, unknown>>): Promise<void>;
  /** Runs `work` while the node is exported, under its own name; the export is gone when this returns. */
  withExport(node: string, options: Readonly<Record<string, unknown>>, work: () => Promise<unknown>): Promise<void>;
}

/** Runs `work` with a daemon of its own, which has ended when this returns. */
export async function withStorageDaemon<T>(
  { signal }: { readonly signal: AbortSignal },
  work: (daemon: StorageDaemon) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'kdm-qsd-'));
  const listener = createServer().listen(join(folder, 'qmp'));
  try {
    await once(listener, 'listening');
    const nbdSocket = join(folder, 'nbd');
    const { child, socket } = await start(listener, { qmp: join(folder, 'qmp'), nbdSocket, signal });
    try {
      // Work that waits for an answer would wait for ever when the daemon is gone.
      return await Promise.race([speak(socket, nbdSocket).then(work), endOf(child)]);
    } finally {
      socket.destroy();
      await end(child);
    }
  } finally {
    listener.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The daemon comes to our socket, and only when its NBD server listens: nothing has to be waited for by looking. */
async function start(
  listener: ReturnType<typeof createServer>,
  { qmp, nbdSocket, signal }: { readonly qmp: string; readonly nbdSocket: string; readonly signal: AbortSignal },
): Promise<{ readonly child: ChildProcess; readonly socket: Socket }> {
  const args = ['--nbd-server', `addr.type=unix,addr.path=${nbdSocket}`];
  args.push('--chardev', `socket,id=qmp,path=${qmp},server=off`, '--monitor', 'chardev=qmp');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'qemu-storage-daemon', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    signal,
  });
  const came = once(listener, 'connection', { signal });
  const failed = new Promise<never>((_, reject) => {
    // Not once: the signal's abort comes as an error too, at any time.
    child.on('error', reject);
    child.once('close', (status) => reject(new Error(`qemu-storage-daemon: exit ${status}`)));
  });
  const [socket] = z.tuple([z.custom<Socket>()]).parse(await Promise.race([came, failed]));
  return { child, socket };
}

/** Rejects when the daemon ends. */
function endOf(child: ChildProcess): Promise<never> {
  const ended = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new Error(`qemu-storage-daemon ended (${child.exitCode ?? child.signalCode})`));
    if (child.exitCode !== null || child.signalCode !== null) stop();
    else child.once('close', stop);
  });
  // It ends in any case, long after the race.
  ended.catch(() => {});
  return ended;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('close', resolve));
}

async function speak(socket: Socket, nbdSocket: string): Promise<StorageDaemon> {
  const replies = new EventEmitter().setMaxListeners(0);
  const lines = createInterface({ input: socket });
  lines.on('line', (line) => {
    const message = MESSAGE.parse(JSON.parse(line));
    if (message.id !== undefined) replies.emit(`reply ${message.id}`, message);
    if (message.event === 'JOB_STATUS_CHANGE') replies.emit(`${message.data?.status} ${message.data?.id}`);
    if (message.event === 'BLOCK_EXPORT_DELETED') replies.emit(`deleted ${message.data?.id}`);
  });
  const gone = new AbortController();
  const lost = (cause?: unknown): void => gone.abort(new Error('the qemu-storage-daemon ended too early', { cause }));
  lines.on('close', () => lost());
  // A command may be written to a daemon that was just killed; readline passes the socket's errors on.
  socket.on('error', lost);
  lines.on('error', lost);
  let last = 0;

  const execute: StorageDaemon['execute'] = async (command, args = {}) => {
    last += 1;
    const answered = once(replies, `reply ${last}`, { signal: gone.signal });
    socket.write(`${JSON.stringify({ execute: command, arguments: args, id: last })}\n`);
    const message = MESSAGE.parse((await answered)[0]);
    if (message.error !== undefined) throw new Error(`QMP ${command}: ${message.error.desc}`);
    return message.return;
  };
  const runJob: StorageDaemon['runJob'] = async (command, id, args) => {
    const concluded = once(replies, `concluded ${id}`, { signal: gone.signal });
    await Promise.all([concluded, execute(command, { ...args, 'job-id': id })]);
    const job = JOBS.parse(await execute('query-jobs')).find((one) => one.id === id);
    await execute('job-dismiss', { id });
    if (job?.error !== undefined) throw new Error(`QMP job ${id}: ${job.error}`);
  };
  const withExport: StorageDaemon['withExport'] = async (node, options, work) => {
    await execute('block-export-add', { id: node, 'node-name': node, ...options });
    await work();
    const deleted = once(replies, `deleted ${node}`, { signal: gone.signal });
    await Promise.all([deleted, execute('block-export-del', { id: node, mode: 'hard' })]);
  };
  await execute('qmp_capabilities');
  return { nbdSocket, execute, runJob, withExport };
}
