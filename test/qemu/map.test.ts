// What `qemu-img map` says, run by run.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { chainGraph, fileNode, loneLayer } from '../../src/qemu/graph.ts';
import { dataEndOf } from '../../src/qemu/info.ts';
import { type MapRun, mapImage, parseMapLine } from '../../src/qemu/map.ts';
import { KiB, MiB } from '../../src/units.ts';
import { makeChain } from '../helpers/chain.ts';
import { withScript } from '../helpers/injected.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();

test('reads the lines of a map, and nothing else', async (t) => {
  const run = { start: 0, length: 512, depth: 1, present: true, zero: false, data: true, offset: 65536 };
  const { offset: _, ...hole } = { ...run, data: false };
  t.strictSame(parseMapLine(`[${JSON.stringify(run)},`), run);
  t.strictSame(parseMapLine(`${JSON.stringify(hole)}]`), hole);
  t.strictSame(parseMapLine(`[${JSON.stringify({ ...run, compressed: false })}]`), run);
  t.equal(parseMapLine(']'), undefined);
  t.equal(parseMapLine(''), undefined);
  for (const bad of [
    '{"start":0}',
    'x',
    '[1,',
    '{"start":-1,"length":1,"depth":0,"present":true,"zero":true,"data":true}',
  ]) {
    t.throws(() => parseMapLine(bad), { code: 'TOOL_FAILED' }, bad);
  }
});

test('tells the layer of each run, in guest order', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['AA--', '-B0-'] });
  const [base = '', tip = ''] = chain.layers;
  const source = chainGraph([fileNode(base), fileNode(tip)]);
  const runs: MapRun[] = [];
  for await (const run of mapImage({ source, signal })) runs.push(run);
  t.match(runs, [
    { start: 0, length: 64 * KiB, depth: 1, data: true },
    { start: 64 * KiB, length: 64 * KiB, depth: 0, data: true },
    { start: 128 * KiB, length: 64 * KiB, depth: 0, data: false, zero: true, present: true },
    { start: 192 * KiB, length: 64 * KiB, present: false },
  ]);
  const part: MapRun[] = [];
  for await (const run of mapImage({ source, startOffset: 64 * KiB, maxLength: 64 * KiB, signal })) part.push(run);
  t.match(part, [{ start: 64 * KiB, length: 64 * KiB, depth: 0 }]);
});

test('a map that is torn says what tore it', async (t) => {
  if (!requires(t, 'bash')) return;
  const run = JSON.stringify({ start: 0, length: 512, depth: 0, present: true, zero: false, data: true, offset: 0 });
  const read = async (script: string): Promise<MapRun[]> => {
    const runs: MapRun[] = [];
    await withScript(
      t,
      { tool: 'qemu-img', script: `echo '[${run},'; printf '{ "start": 2339'; ${script}` },
      async () => {
        for await (const one of mapImage({ source: fileNode('/x'), timeoutMs: 2000, signal })) runs.push(one);
      },
    );
    return runs;
  };
  await t.rejects(read('kill -KILL $$'), { code: 'TOOL_FAILED', message: /^qemu-img was killed/ });
  await t.rejects(read('exec sleep 60'), { code: 'TOOL_FAILED', message: /timed out after 2/ });
  await t.rejects(read('echo "Could not open" >&2; exit 1'), { code: 'IMAGE_CORRUPT' });
  await t.rejects(read('exit 0'), {
    code: 'TOOL_FAILED',
    message: /unexpected output from qemu-img map: \{ "start": 2339$/,
    hint: /./,
  });
});

test('a map of 20000 runs comes in pieces, and may be left after the first', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { clusterSize: 512, unit: 512, size: 10 * MiB, layers: ['A-'.repeat(10000)] });
  const source = loneLayer(fileNode(chain.layers[0] ?? ''));
  let count = 0;
  for await (const run of mapImage({ source, signal })) count += run.data ? 1 : 0;
  t.equal(count, 10000);
  for await (const run of mapImage({ source, signal })) {
    t.equal(run.start, 0);
    break;
  }
});

test('data ends where its last cluster ends', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['AB'] });
  const end = await dataEndOf(loneLayer(fileNode(chain.layers[0] ?? '')), { signal });
  t.equal(end, (5 + 2) * 64 * KiB, 'header, refcounts (2), L1 and L2 table, two clusters of data');
});

test('says that a chain cannot be opened', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const runs = mapImage({ source: loneLayer(fileNode('/nowhere.qcow2')), signal });
  await t.rejects(runs.next(), { code: 'IMAGE_CORRUPT', message: /No such file or directory/ });
});

test('a map that is cancelled while its reader is busy rejects when the reader asks again, and not before', async (t) => {
  if (!requires(t, 'bash')) return;
  const pid = join(tempFolder(t), 'pid');
  const line = JSON.stringify({ start: 0, length: 512, depth: 0, present: true, zero: false, data: false });
  const script = `echo '[${line},'; echo '${line},'; echo $$ >'${pid}'; exec sleep 1000`;
  await withScript(t, { tool: 'qemu-img', script }, async () => {
    const cancel = new AbortController();
    const reason = new Error('cancelled');
    const runs = mapImage({ source: fileNode('/x'), signal: cancel.signal });
    t.match(await runs.next(), { value: { start: 0 } });
    const child = await until(() => existsSync(pid) && readFileSync(pid, 'utf8').trim());
    cancel.abort(reason);
    // The child has ended, and whoever waits for it has heard so: an unhandled rejection would end the test.
    await until(() => !existsSync(`/proc/${child}`));
    await until(() => true);
    await t.rejects(runs.next(), reason);
  });
});

/** Asks with every turn of the loop. */
async function until<T>(fact: () => T): Promise<T> {
  for (;;) {
    await new Promise((resolve) => setImmediate(resolve));
    const found = fact();
    if (found) return found;
  }
}
