// A graph served by qemu-nbd, judged by other clients.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { chainGraph, fileNode, loneLayer } from '../../src/qemu/graph.ts';
import { type Listen, withQemuNbd } from '../../src/qemu/nbd.ts';
import { KiB } from '../../src/units.ts';
import { makeChain, qemu } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();

function chainOfTwo(t: Test) {
  const chain = makeChain(t, { layers: ['AAAA', '-B0'] });
  const [base = '', tip = ''] = chain.layers;
  return { ...chain, source: chainGraph([fileNode(base), fileNode(tip)]) };
}

/** A port of the loopback address that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

for (const kind of ['unix', 'tcp'] as const) {
  test(`serves the disk read-only on ${kind}, to several clients and again and again`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io', 'qemu-nbd', 'nbdinfo', 'nbdcopy')) return;
    const { source, truth, dir } = chainOfTwo(t);
    const path = join(dir, 'a b.sock');
    const listen: Listen = kind === 'unix' ? { kind, path } : { kind, port: await freePort() };
    const answer = await withQemuNbd({ source, listen, signal }, async (uri) => {
      t.equal(
        uri,
        kind === 'unix'
          ? `nbd+unix:///?socket=${path.replace(' ', '%20')}`
          : `nbd://127.0.0.1:${'port' in listen ? listen.port : 0}`,
      );
      const info: unknown = JSON.parse(execFileSync('nbdinfo', ['--json', uri], { encoding: 'utf8' }));
      t.match(info, {
        exports: [{ 'export-name': '', 'export-size': 256 * KiB, is_read_only: true, can_multi_conn: true }],
      });
      const copy = join(dir, 'copy.raw');
      execFileSync('nbdcopy', [uri, copy]);
      t.equal(readFileSync(copy).equals(readFileSync(truth)), true);
      t.match(qemu('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', truth, uri), /identical/);
      t.strictSame(
        readdirSync(dir).filter((name) => name.startsWith('.')),
        [],
      );
      return 'done';
    });
    t.equal(answer, 'done');
    t.equal(existsSync(path), false);
  });
}

test('the end of the signal is the end of the server', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'qemu-nbd')) return;
  const { source, dir } = chainOfTwo(t);
  const path = join(dir, 's');
  const abort = new AbortController();
  const reason = new DatamoverError('CANCELLED', 'enough');
  let told: unknown;
  const served = withQemuNbd({ source, listen: { kind: 'unix', path }, signal: abort.signal }, async (_uri, inner) => {
    const ended = new Promise<void>((resolve) => inner.addEventListener('abort', () => resolve()));
    abort.abort(reason);
    await ended;
    told = inner.reason;
  });
  await t.rejects(served, reason);
  t.equal(told, reason);
  t.equal(existsSync(path), false);
});

test('what the work throws is what comes out, and the server is gone', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'qemu-nbd')) return;
  const { source, dir } = chainOfTwo(t);
  const path = join(dir, 's');
  await t.rejects(
    withQemuNbd({ source, listen: { kind: 'unix', path }, signal }, async () => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  );
  t.equal(existsSync(path), false);
});

test('says that it cannot listen, and leaves what is there', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'qemu-nbd')) return;
  const { source, dir } = chainOfTwo(t);
  const path = join(dir, 'mine');
  writeFileSync(path, 'precious');
  const never = async () => t.fail('must not serve');
  await t.rejects(withQemuNbd({ source, listen: { kind: 'unix', path }, signal }, never), {
    code: 'LISTEN_FAILED',
    message: `cannot listen on ${path}: already exists`,
  });
  t.equal(readFileSync(path, 'utf8'), 'precious');
  for (const bad of [join(dir, 'no/folder'), join(dir, 'x'.repeat(100))]) {
    await t.rejects(withQemuNbd({ source, listen: { kind: 'unix', path: bad }, signal }, never), {
      code: 'LISTEN_FAILED',
    });
  }
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await t.rejects(withQemuNbd({ source, listen: { kind: 'tcp', port }, signal }, never), {
    code: 'LISTEN_FAILED',
    message: /cannot listen on port \d+: .*Address already in use/,
  });
});

test('says why a graph cannot be opened', async (t) => {
  if (!requires(t, 'qemu-nbd')) return;
  const listen: Listen = { kind: 'unix', path: join(tempFolder(t), 's') };
  const source = loneLayer(fileNode('/nowhere.qcow2'));
  await t.rejects(
    withQemuNbd({ source, listen, signal }, async () => {}),
    { code: 'TOOL_FAILED', message: /No such file/ },
  );
});
