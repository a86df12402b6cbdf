// Graphs as qemu-img understands them: odd paths, long chains, windows.
import { copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'tap';
import { compare } from '../../src/qemu/compare.ts';
import {
  type BlockGraph,
  cached,
  chainGraph,
  fileNode,
  loneLayer,
  nbdNode,
  rawNode,
  rebasedChain,
  toFilename,
  windowNode,
} from '../../src/qemu/graph.ts';
import { virtualSizeOf } from '../../src/qemu/info.ts';
import { rebaseUnsafe } from '../../src/qemu/rebase.ts';
import { KiB, MiB } from '../../src/units.ts';
import { makeChain, qemu, type TestChain } from '../helpers/chain.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { WITHOUT_DIRECT_TOOLS, withoutDirect } from '../helpers/without-direct.ts';

const { signal } = new AbortController();
const isTruth = async (source: BlockGraph, { truth }: TestChain): Promise<boolean> =>
  (await compare({ a: source, b: rawNode(fileNode(truth)), name: 'the target', cache: 'writeback', signal })).identical;

test('is JSON behind a prefix', async (t) => {
  t.equal(
    toFilename(windowNode(nbdNode('/run/a b.sock', 'x'), { offset: 512, size: 1024 })),
    'json:{"driver":"raw","offset":512,"size":1024,"file":{"driver":"nbd","server":{"type":"unix","path":"/run/a b.sock"},"export":"x"}}',
  );
  t.equal(
    toFilename(loneLayer(fileNode('/a'))),
    'json:{"driver":"qcow2","file":{"driver":"file","filename":"/a"},"backing":null}',
  );
});

for (const name of ['a:b', 'nbd:x', 'a,b=c', 'a b', 'é☃', '"quoted\\"', 'json:{}', '-x', 'a%s$(id)']) {
  test(`opens a file whose folder and name are ${name}`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const chain = makeChain(t, { layers: ['AB'] });
    const folder = join(tempFolder(t), name);
    mkdirSync(folder);
    copyFileSync(chain.layers[0] ?? '', join(folder, name));
    t.equal(await isTruth(loneLayer(fileNode(join(folder, name))), chain), true);
  });
}

test('a rebased chain is found in a folder with an odd name', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['AB', '-C'] });
  const folder = join(tempFolder(t), 'a:b, "c" é');
  mkdirSync(folder);
  const [base = '', tip = ''] = ['00.qcow2', '01.qcow2'].map((name) => join(folder, name));
  for (const path of [base, tip]) renameSync(join(chain.dir, path.slice(folder.length + 1)), path);
  await rebaseUnsafe({ image: tip, backing: base, signal });
  t.equal(await isTruth(rebasedChain(fileNode(tip), { layers: 2, l2CacheSize: MiB }), chain), true);
});

for (const count of [1, 2, 60]) {
  test(`a chain of ${count} layers is the same through headers and given whole`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const layers = Array.from({ length: count }, (_, index) => `${'-'.repeat(index)}${'ABCDEFG'[index % 7]}`);
    const chain = makeChain(t, { unit: 4 * KiB, clusterSize: 4096, layers });
    const [first = '', ...rest] = chain.layers;
    t.equal(await isTruth(chainGraph([fileNode(first), ...rest.map(fileNode)], { l2CacheSize: MiB }), chain), true);
    for (const [index, image] of rest.entries()) {
      await rebaseUnsafe({ image, backing: chain.layers[index] ?? '', signal });
    }
    const tip = fileNode(chain.layers.at(-1) ?? '');
    t.equal(await isTruth(rebasedChain(tip, { layers: count, l2CacheSize: MiB }), chain), true);
  });
}

test('the cache size reaches every layer of a rebased chain', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['A', '-B', '--C'] });
  for (const index of [1, 2]) {
    await rebaseUnsafe({ image: chain.layers[index] ?? '', backing: chain.layers[index - 1] ?? '', signal });
  }
  const tip = fileNode(chain.layers[2] ?? '');
  // A size that QEMU refuses shows that it is read, at the layer where it is given.
  for (const path of [['l2-cache-size'], ['backing', 'l2-cache-size'], ['backing', 'backing', 'l2-cache-size']]) {
    const graph = rebasedChain(tip, { layers: 3, l2CacheSize: MiB });
    const spoilt = path.reduceRight<unknown>((value, key) => ({ [key]: value }), 'no size');
    const text = `json:${JSON.stringify(merge(graph, spoilt))}`;
    t.throws(() => qemu('qemu-img', 'map', text), /l2-cache-size/, path.join('.'));
  }
  t.ok(qemu('qemu-img', 'map', toFilename(rebasedChain(tip, { layers: 3, l2CacheSize: MiB }))));
});

test('a rebased chain whose headers lead to another number of layers is refused', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['A', '-B', '--C'] });
  const [base = '', middle = '', tip = ''] = chain.layers;
  await rebaseUnsafe({ image: tip, backing: middle, signal });
  const missing = rebasedChain(fileNode(tip), { layers: 3, l2CacheSize: MiB });
  await t.rejects(isTruth(missing, chain), { code: 'TOOL_FAILED', message: /Must specify either driver or file/ });
  await rebaseUnsafe({ image: middle, backing: base, signal });
  t.equal(await isTruth(missing, chain), true);
});

test('a lone layer shows nothing of the parent that its header names', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['AB', { cells: '-C', recordedBacking: '00.qcow2' }] });
  const lone = makeChain(t, { layers: ['0C'] });
  t.equal(await isTruth(loneLayer(fileNode(chain.layers[1] ?? '')), lone), true);
});

test('a window shows its bytes and no others', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const chain = makeChain(t, { layers: ['ABCD'] });
  const source = windowNode(loneLayer(fileNode(chain.layers[0] ?? '')), { offset: 64 * KiB, size: 128 * KiB });
  t.equal(await virtualSizeOf(source, { signal }), 128 * KiB);
  const out = join(chain.dir, 'window.raw');
  qemu('qemu-img', 'convert', '-O', 'raw', toFilename(source), out);
  t.strictSame(readFileSync(out), readFileSync(chain.truth).subarray(64 * KiB, 192 * KiB));
});

function merge(a: unknown, b: unknown): unknown {
  if (!isRecord(a) || !isRecord(b)) return b;
  return Object.fromEntries([
    ...Object.entries(a),
    ...Object.entries(b).map(([key, value]) => [key, merge(a[key], value)]),
  ]);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

test('how a node is opened is its own to say, and goes for the parents that headers name', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', ...WITHOUT_DIRECT_TOOLS)) return;
  const chain = makeChain(t, { layers: ['A', '-B'] });
  const folder = withoutDirect(t);
  const [base = '', tip = ''] = chain.layers.map((path) => join(folder, basename(path)));
  for (const [index, path] of [base, tip].entries()) copyFileSync(chain.layers[index] ?? '', path);
  await rebaseUnsafe({ image: tip, backing: base, signal });
  const b = rawNode(fileNode(chain.truth));
  for (const options of [{ layers: 2 }, { layers: 2, l2CacheSize: MiB }]) {
    const graph = rebasedChain(fileNode(tip), options);
    const a = cached(graph, 'writeback');
    t.strictSame(await compare({ a, b, name: 'the target', cache: 'none', signal }), { identical: true });
    await t.rejects(compare({ a: graph, b, name: 'the target', cache: 'none', signal }), { message: /O_DIRECT/ });
    await t.rejects(compare({ a: cached(graph, 'none'), b, name: 'the target', cache: 'writeback', signal }), {
      message: /O_DIRECT/,
    });
  }
});
