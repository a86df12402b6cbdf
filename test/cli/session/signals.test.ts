// How a run ends early: signals, closed pipes, bugs. The source is a server that accepts and never answers, so that the
// program is known to be in the middle of its work.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { type RunCliOptions, type RunningCli, startCli } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

interface Waiting extends RunningCli {
  readonly server: Server;
}

/** Starts `args` on a source that never answers, and waits until the program has asked it something. */
async function startWaiting(t: Test, args: readonly string[], options: RunCliOptions = {}): Promise<Waiting> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not listening on a port');
  const endpoint = `http://127.0.0.1:${address.port}`;
  const source = args[0] === 'list' ? ['--source', 's3://bucket', '--endpoint', endpoint] : [];
  const plan = `version: 1\nsource: { s3: { bucket: b, endpoint: "${endpoint}" } }\nbackup: b\nvm: a/b\npvcs: [{ name: d, target: ${join(tempFolder(t), 'd.raw')} }]\n`;
  const env = {
    AWS_ACCESS_KEY_ID: 'AKIATEST',
    AWS_SECRET_ACCESS_KEY: 'SECRET',
    AWS_REGION: 'us-east-1',
    KUBEVIRT_DM_BSL_S3_URL: endpoint,
    ...options.env,
  };
  const running = startCli([...args, ...source], { stdin: plan, ...options, env });
  t.teardown(() => {
    running.child.kill('SIGKILL');
    server.close();
  });
  const [socket] = await once(server, 'connection');
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  return { ...running, server };
}

for (const { name, status } of [
  { name: 'SIGINT', status: 130 },
  { name: 'SIGTERM', status: 143 },
] as const) {
  test(`${name}: exit ${status}, CANCELLED, and the document says so`, async (t) => {
    const args = ['restore', '-', '--scratch', tempFolder(t), '--output', 'json'];
    const { child, result } = await startWaiting(t, args);
    child.kill(name);
    const { exitCode, stdout, stderr } = await result;
    t.equal(exitCode, status);
    t.match(JSON.parse(stdout), {
      result: 'cancelled',
      pvcs: [{ name: 'd', state: 'pending' }],
      error: { code: 'CANCELLED', message: `cancelled by ${name}`, hint: /the same command/ },
    });
    t.match(
      stderr,
      new RegExp(
        `\n${name} received, stopping; a second signal exits immediately\nerror CANCELLED: cancelled by ${name}\nhint: `,
      ),
    );
  });

  test(`${name} while listing: exit ${status}`, async (t) => {
    const { child, result } = await startWaiting(t, ['list']);
    child.kill(name);
    const { exitCode, stdout } = await result;
    t.equal(exitCode, status);
    t.equal(stdout, '');
  });
}

test('download logs which DataDownload it is for', async (t) => {
  const variables = { BSL_PROVIDER: 'aws', BSL_BUCKET: 'b', VM_NAME: 'v', VM_NAMESPACE: 'n', VELERO_BACKUP_NAME: 'k' };
  const more = { TARGET_VOLUME: 'd', TARGET_PATH: join(tempFolder(t), 'disk.img'), SCRATCH_PATH: tempFolder(t) };
  const named = Object.entries({ ...variables, ...more, DATADOWNLOAD_NAME: 'restore-1', DATADOWNLOAD_UID: 'u-1' });
  const { child, result } = await startWaiting(t, ['download'], {
    env: Object.fromEntries(named.map(([name, value]) => [`KUBEVIRT_DM_${name}`, value])),
  });
  child.kill('SIGTERM');
  const { exitCode, stderr } = await result;
  t.equal(exitCode, 143);
  t.match(stderr, /^DataDownload restore-1 \(uid u-1\)\n/);
});

test('signals that come in a bunch end it all the same', async (t) => {
  const { child, result } = await startWaiting(t, ['list']);
  for (const name of ['SIGTERM', 'SIGINT', 'SIGTERM'] as const) child.kill(name);
  const { exitCode, stderr } = await result;
  t.ok(exitCode === 130 || exitCode === 143, `exit ${exitCode}`);
  t.notMatch(stderr, /\n +at /);
});

test('nobody reads stdout or stderr any more: the exit status is the right one', async (t) => {
  for (const name of ['stdout', 'stderr'] as const) {
    const { child, result } = await startWaiting(t, ['list', '--output', 'json']);
    const exited = once(child, 'exit');
    // What is left of the output cannot be read to its end.
    const unread = result.catch(() => undefined);
    child[name]?.destroy();
    child.kill('SIGTERM');
    t.strictSame(await exited, [143, null], `${name} closed`);
    await unread;
  }
});

test('a bug that nothing caught: INTERNAL in one line, exit 1; the stack at debug', async (t) => {
  // A module that is loaded before the program throws for it when asked to.
  const bug = "process.once('SIGUSR2', () => { Promise.reject(new Error('of ours')); })";
  const nodeArgs = ['--import', `data:text/javascript,${encodeURIComponent(bug)}`];
  const quiet = await startWaiting(t, ['list', '--output', 'json'], { nodeArgs });
  quiet.child.kill('SIGUSR2');
  const { exitCode, stdout, stderr } = await quiet.result;
  t.equal(exitCode, 1);
  t.match(JSON.parse(stdout), {
    version: 1,
    error: { code: 'INTERNAL', message: /of ours/, hint: /--log-level debug/ },
  });
  t.match(stderr, /(^|\n)error INTERNAL: unexpected: of ours\nhint: .*\n$/);
  t.notMatch(stderr, /\n +at /);
  const loud = await startWaiting(t, ['list', '--log-level', 'debug'], { nodeArgs });
  loud.child.kill('SIGUSR2');
  t.match((await loud.result).stderr, /Error: of ours\n +at /);
});

test('a plan that is a pipe: with a writer that is silent, or none, SIGTERM ends the wait', async (t) => {
  for (const hasWriter of [true, false]) {
    const pipe = join(tempFolder(t), 'plan');
    execFileSync('mkfifo', [pipe]);
    const { child, result } = startCli(['restore', pipe, '--scratch', tempFolder(t)]);
    t.teardown(() => child.kill('SIGKILL'));
    // It is open as soon as the program has opened the other end.
    const writer = hasWriter ? await open(pipe, 'w') : undefined;
    while (!hasOpen(child.pid ?? Number.NaN, pipe)) await delay(20);
    child.kill('SIGTERM');
    const { exitCode, stderr } = await result;
    t.equal(exitCode, 143, hasWriter ? 'a silent writer' : 'no writer');
    t.match(stderr, /^error CANCELLED: cancelled by SIGTERM$/m);
    await writer?.close();
  }
});

function hasOpen(pid: number, path: string): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).some((fd) => readlinkSync(join(folder, fd)) === path);
  } catch {
    // A descriptor was closed meanwhile, or env(1) is becoming the program.
    return false;
  }
}
