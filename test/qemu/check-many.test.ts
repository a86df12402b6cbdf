// Many images checked by children of one small process: the answers are those of `checkImage`, whatever becomes of that process, and
// none of its children outlives us.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { mapBounded } from '../../src/concurrency.ts';
import { DatamoverError } from '../../src/errors.ts';
import { checkImage } from '../../src/qemu/check-image.ts';
import { withChecks } from '../../src/qemu/check-many.ts';
import { type BlockGraph, nbdNode } from '../../src/qemu/graph.ts';
import { makeChain } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { silentServer } from '../helpers/silent-server.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();
const COUNT = 20;
const LIMIT = 3;
const CLUSTER = 65536;
/** Where `qemu-img create` and the first writes put things. */
const REFCOUNT_BLOCK = 2 * CLUSTER;
const L2_TABLE = 4 * CLUSTER;

/** Copies of one sound layer, with names that need quoting; one has leaks, one is corrupt, one is no image. */
function images(t: Test): string[] {
  const { dir, layers } = makeChain(t, { layers: ['AB-C'] });
  const paths = Array.from({ length: COUNT }, (_, index) => {
    const path = join(dir, `layer "${index}", é\n.qcow2`);
    copyFileSync(layers[0] ?? '', path);
    return path;
  });
  change(paths[4], (bytes) => bytes.fill(0, L2_TABLE, L2_TABLE + 8));
  change(paths[7], (bytes) => bytes.fill(0, REFCOUNT_BLOCK, REFCOUNT_BLOCK + 16));
  change(paths[13], (bytes) => bytes.fill(0, 0, 4));
  return paths;
}

function change(path = '', edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  edit(bytes);
  writeFileSync(path, bytes);
}

/** What becomes of each: its result, or its error's code, message and hint. */
async function told(result: Promise<unknown>): Promise<unknown> {
  return await result.catch((error: unknown) => {
    if (!(error instanceof DatamoverError)) throw error;
    const { code, message, hint } = error;
    return { code, message, hint };
  });
}

async function together(paths: readonly string[]): Promise<unknown[]> {
  return await withChecks({ count: paths.length, limit: LIMIT, signal }, async (check) => {
    return await mapBounded(paths, { limit: LIMIT, signal }, (image) => told(check({ image, signal })));
  });
}

async function oneByOne(paths: readonly string[]): Promise<unknown[]> {
  return await mapBounded(paths, { limit: LIMIT, signal }, (image) => told(checkImage({ image, signal })));
}

/** Runs `work` with a PATH on which `xargs` is a script for bash; without one when `script` is undefined. */
async function withXargs<T>(t: Test, script: string | undefined, work: () => Promise<T>): Promise<T> {
  const folder = tempFolder(t);
  for (const program of ['setpriv', 'prlimit', 'qemu-img']) symlinkSync(`/usr/bin/${program}`, join(folder, program));
  if (script !== undefined) {
    writeFileSync(join(folder, 'xargs'), `#!/bin/bash\n${script}\n`);
    chmodSync(join(folder, 'xargs'), 0o755);
  }
  const before = process.env.PATH;
  process.env.PATH = folder;
  try {
    return await work();
  } finally {
    process.env.PATH = before;
  }
}

const TOOLS = ['qemu-img', 'qemu-io', '/usr/bin/xargs', '/usr/bin/qemu-img', '/usr/bin/setpriv', '/usr/bin/prlimit'];

test('the answers are those of one check each', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const paths = images(t);
  const expected = await oneByOne(paths);
  t.strictSame(await together(paths), expected);
  t.match(expected[4], { outcome: 'leaks' });
  t.match(expected[7], { code: 'IMAGE_CORRUPT', message: /contradict/ });
  t.match(expected[13], { code: 'IMAGE_CORRUPT', message: /cannot be opened/ });
});

test('one process starts the checks of sound images', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const [sound = ''] = images(t);
  const paths = Array.from({ length: COUNT }, (_, index) => {
    const path = join(tempFolder(t), `${index}`);
    copyFileSync(sound, path);
    return path;
  });
  const log = join(tempFolder(t), 'log');
  writeFileSync(log, '');
  const counting = `echo started >>${log}; exec /usr/bin/xargs "$@"`;
  const found = await withXargs(t, counting, async () => {
    // By itself, each would need a setpriv of ours.
    return await together(paths);
  });
  t.equal(found.length, COUNT);
  for (const one of found) t.match(one, { outcome: 'clean' });
  t.equal(readFileSync(log, 'utf8'), 'started\n');
});

for (const [title, script] of [
  ['missing', undefined],
  ['one that does not know the options', 'echo "xargs: invalid option -- P" >&2; exit 1'],
  ['one that is killed', 'kill -KILL $$'],
  ['one that says what is no document', 'echo "{}"; echo "}"; echo "{\\"filename\\": 5}"; exec /usr/bin/xargs "$@"'],
  ['one that runs nothing', 'exec /usr/bin/cat'],
] as const) {
  test(`xargs: ${title}`, async (t) => {
    if (!requires(t, ...TOOLS, 'bash', '/usr/bin/cat')) return;
    const paths = images(t);
    const expected = await oneByOne(paths);
    const bounded = title === 'one that runs nothing' ? paths.slice(0, 9) : paths;
    const found = await withXargs(t, script, async () => {
      return await withChecks({ count: COUNT, limit: LIMIT, signal }, async (check) => {
        const limits = title === 'one that runs nothing' ? { timeoutMs: 4000 } : {};
        return await mapBounded(bounded, { limit: LIMIT, signal }, (image) =>
          told(check({ image, signal, ...limits })),
        );
      });
    });
    t.strictSame(found, expected.slice(0, bounded.length));
  });
}

const hanging = (path: string): BlockGraph => nbdNode(path, '');

test('an abort ends the children, and is what the caller hears', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const server = await silentServer(t);
  const abort = new AbortController();
  const run = withChecks({ count: COUNT, limit: LIMIT, signal: abort.signal }, (check) =>
    check({ image: hanging(server.path), signal: abort.signal }),
  );
  const closed = once(await server.nextClient(), 'close');
  const reason = new DatamoverError('CANCELLED', 'enough');
  abort.abort(reason);
  await t.rejects(run, reason);
  await closed;
});

test('a check that hangs is told from the others, and ended', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const server = await silentServer(t);
  const [image = ''] = images(t);
  await withChecks({ count: COUNT, limit: LIMIT, signal }, async (check) => {
    const hung = told(check({ image: hanging(server.path), signal, timeoutMs: 500 }));
    t.match(await check({ image, signal }), { outcome: 'clean' });
    t.match(await hung, { code: 'TOOL_FAILED', message: 'qemu-img timed out after 0.5 s' });
    t.match(await check({ image, signal }), { outcome: 'clean' });
  });
});

test('SIGKILL of us kills the children', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const server = await silentServer(t);
  const script = `
    import { withChecks } from ${JSON.stringify(new URL('../../src/qemu/check-many.ts', import.meta.url).href)};
    const { signal } = new AbortController();
    await withChecks({ count: ${COUNT}, limit: 2, signal }, async (check) => {
      await check({ image: ${JSON.stringify(hanging(server.path))}, signal });
    });`;
  const client = server.nextClient();
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  t.teardown(() => parent.kill('SIGKILL'));
  const closed = once(await client, 'close');
  const exited = once(parent, 'exit');
  parent.kill('SIGKILL');
  await closed;
  t.strictSame(await exited, [null, 'SIGKILL']);
});
