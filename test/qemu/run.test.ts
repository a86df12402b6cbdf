// Children: missing, aborted, too slow, too large, orphaned. A child that hangs talks to a server that never answers, so
// that its end is seen as the end of its connection.
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, getEventListeners, once } from 'node:events';
import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { checkQemu } from '../../src/qemu/check-qemu.ts';
import { nbdNode, toFilename } from '../../src/qemu/graph.ts';
import { mapImage } from '../../src/qemu/map.ts';
import { runTool } from '../../src/qemu/run.ts';
import { lastErrorLine } from '../../src/qemu/said.ts';
import { MiB } from '../../src/units.ts';
import { makeChain } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { silentServer } from '../helpers/silent-server.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();
const hang = (path: string): string[] => ['info', toFilename(nbdNode(path, ''))];

test('gives status, stdout and stderr', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const pieces: string[] = [];
  const good = await runTool('qemu-img', ['--version'], { signal, onStdout: (piece) => pieces.push(piece) });
  t.equal(good.exitCode, 0);
  t.match(good.stdout, /^qemu-img version/);
  t.equal(pieces.join(''), good.stdout);
  const bad = await runTool('qemu-img', ['info', '/nowhere'], { signal });
  t.equal(bad.exitCode, 1);
  t.match(bad.stderr, /Could not open '\/nowhere'/);
});

test('an abort ends the child, and is what the caller hears', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const server = await silentServer(t);
  const abort = new AbortController();
  const run = runTool('qemu-img', hang(server.path), { signal: abort.signal });
  const closed = once(await server.nextClient(), 'close');
  const reason = new DatamoverError('CANCELLED', 'enough');
  abort.abort(reason);
  await t.rejects(run, reason);
  await closed;
  t.equal(getEventListeners(abort.signal, 'abort').length, 0);
});

test('nothing is started under a signal that is aborted already', async (t) => {
  await t.rejects(runTool('qemu-img', ['--version'], { signal: AbortSignal.abort(new Error('before')) }), {
    message: 'before',
  });
});

test('a time limit ends the child and says what was bounded', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const server = await silentServer(t);
  const run = runTool('qemu-img', hang(server.path), { signal, timeoutMs: 500 });
  await t.rejects(run, { code: 'TOOL_FAILED', message: 'qemu-img timed out after 0.5 s' });
});

test('a memory limit ends the child and says so', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { layers, dir } = makeChain(t, { size: 64 * MiB, layers: ['A'] });
  const args = ['convert', '-m', '16', '-W', '-O', 'raw', layers[0] ?? '', join(dir, 'out.raw')];
  await t.rejects(runTool('qemu-img', args, { signal, memoryBytes: 12 * MiB }), {
    code: 'TOOL_FAILED',
    hint: /limit 12\.0 MiB/,
  });
});

test('SIGKILL of us kills the child', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const server = await silentServer(t);
  const script = `
    import { runTool } from ${JSON.stringify(new URL('../../src/qemu/run.ts', import.meta.url).href)};
    await runTool('qemu-img', ${JSON.stringify(hang(server.path))}, { signal: new AbortController().signal });`;
  const client = server.nextClient();
  const parent: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  t.teardown(() => parent.kill('SIGKILL'));
  const closed = once(await client, 'close');
  const exited = once(parent, 'exit');
  parent.kill('SIGKILL');
  await closed;
  t.strictSame(await exited, [null, 'SIGKILL']);
});

/** Runs `work` with a PATH that holds just these programs of the system's. */
async function withPath<T>(t: Test, programs: readonly string[], work: (folder: string) => Promise<T>): Promise<T> {
  const folder = tempFolder(t);
  for (const program of programs) symlinkSync(`/usr/bin/${program}`, join(folder, program));
  const before = process.env.PATH;
  process.env.PATH = folder;
  try {
    return await work(folder);
  } finally {
    process.env.PATH = before;
  }
}

test('reads the version of each tool', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'qemu-nbd')) return;
  for (const tool of ['qemu-img', 'qemu-io', 'qemu-nbd'] as const) {
    t.match(await checkQemu({ tools: [tool], signal }), { version: /^\d+\.\d+/ }, tool);
  }
});

test('names the package of a program that is not there', async (t) => {
  if (!requires(t, '/usr/bin/setpriv', '/usr/bin/prlimit', '/usr/bin/qemu-img')) return;
  await withPath(t, ['setpriv', 'prlimit'], async () => {
    await t.rejects(checkQemu({ signal }), {
      code: 'TOOL_MISSING',
      message: /^qemu-img not found/,
      hint: /apt-get install qemu-utils/,
    });
  });
  await withPath(t, ['setpriv', 'prlimit', 'qemu-img'], async () => {
    t.match(await checkQemu({ signal }), { version: /^\d+\.\d+/ });
    for (const tool of ['qemu-io', 'qemu-nbd'] as const) {
      await t.rejects(checkQemu({ tools: ['qemu-img', tool], signal }), {
        code: 'TOOL_MISSING',
        message: `${tool} not found or not executable`,
      });
    }
  });
  await withPath(t, ['setpriv'], async () => {
    await t.rejects(checkQemu({ signal }), {
      code: 'TOOL_MISSING',
      message: /^prlimit not found/,
      hint: /util-linux/,
    });
  });
  await withPath(t, [], async () => {
    await t.rejects(checkQemu({ signal }), {
      code: 'TOOL_MISSING',
      message: /^setpriv not found/,
      hint: /util-linux qemu-utils/,
    });
  });
});

for (const [version, taken] of [
  ['4.2.1', false],
  ['5.1.0', false],
  ['5.2.0 (Debian 1:5.2+dfsg-11+deb11u3)', true],
  ['10.0.2', true],
] as const) {
  test(`${taken ? 'takes' : 'refuses'} qemu-img ${version}`, async (t) => {
    if (!requires(t, '/usr/bin/setpriv', '/usr/bin/prlimit')) return;
    await withPath(t, ['setpriv', 'prlimit'], async (folder) => {
      writeFileSync(join(folder, 'qemu-img'), `#!/bin/sh\necho "qemu-img version ${version}"\n`);
      chmodSync(join(folder, 'qemu-img'), 0o755);
      if (taken) t.equal((await checkQemu({ signal })).version, version.split(' ')[0]);
      else
        await t.rejects(checkQemu({ signal }), {
          code: 'TOOL_MISSING',
          message: `qemu-img is version ${version}; 5.2 or newer is required`,
        });
    });
  });
}

test('a message ends with the reason, however long the file names before it', async (t) => {
  t.equal(lastErrorLine(''), '');
  t.equal(lastErrorLine('warning: x\nqemu-img: Could not open: why\n'), ': Could not open: why');
  t.match(
    lastErrorLine(`qemu-img: Could not open 'json:${'x'.repeat(5000)}': No such file`),
    /^: ….{280,}': No such file$/,
  );
});

test('a loop over a map that is left early ends the child', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const server = await silentServer(t);
  const abort = new AbortController();
  const first = mapImage({ source: nbdNode(server.path, ''), signal: abort.signal }).next();
  const closed = once(await server.nextClient(), 'close');
  abort.abort(new Error('enough'));
  await t.rejects(first, { message: 'enough' });
  await closed;
  t.ok(EventEmitter.defaultMaxListeners >= getEventListeners(abort.signal, 'abort').length);
});
