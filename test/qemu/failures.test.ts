// What qemu's tools fail with, and the code that each failure has.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { convert } from '../../src/qemu/convert.ts';
import { fileNode, loneLayer, rawNode } from '../../src/qemu/graph.ts';
import { virtualSizeOf } from '../../src/qemu/info.ts';
import { makeMask } from '../../src/qemu/mask.ts';
import { rebaseUnsafe } from '../../src/qemu/rebase.ts';
import { runTool } from '../../src/qemu/run.ts';
import { withZeroer } from '../../src/qemu/zero.ts';
import { KiB, MiB } from '../../src/units.ts';
import { makeChain, type TestChain } from '../helpers/chain.ts';
import { withInjected, withScript } from '../helpers/injected.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const { signal } = new AbortController();
const TOOLS = ['qemu-img', 'qemu-io', 'strace', 'bash'];
const QUOTA = 'pwrite64,pwritev,fallocate:error=EDQUOT';

/** A mask over the chain's base that shows 4 KiB of its own, and zeros up to 32 KiB: the rest of the cluster is copied. */
function maskOver({ dir, layers, size }: TestChain): ReturnType<typeof makeMask> {
  writeFileSync(join(dir, 'claim'), Buffer.alloc(4 * KiB, 'claim'));
  return makeMask({
    path: join(dir, 'mask.qcow2'),
    below: loneLayer(fileNode(layers[0] ?? '')),
    size,
    head: { name: 'claim', length: 4 * KiB },
    zeros: [{ offset: 4 * KiB, length: 28 * KiB }],
    signal,
  });
}

test('a quota that is used up is no space', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, { layers: ['AB', '-C'] });
  const [base = '', tip = ''] = chain.layers;
  const out = join(chain.dir, 'out.raw');
  writeFileSync(out, Buffer.alloc(chain.size));
  await withInjected(t, { tool: 'qemu-img', inject: QUOTA }, async () => {
    for (const [kind, code] of [
      ['target', 'TARGET_FULL'],
      ['scratch', 'SCRATCH_FULL'],
    ] as const) {
      const [source, target] = [loneLayer(fileNode(base)), rawNode(fileNode(out))];
      const destination = { kind, name: out };
      await t.rejects(convert({ source, target, destination, cache: 'writeback', signal }), { code });
    }
    await t.rejects(rebaseUnsafe({ image: tip, backing: base, signal }), { code: 'SCRATCH_FULL' });
    await t.rejects(maskOver(chain), { code: 'SCRATCH_FULL' });
  });
  await withInjected(t, { tool: 'qemu-io', inject: QUOTA }, async () => {
    await t.rejects(maskOver(chain), { code: 'SCRATCH_FULL' });
  });
});

test('a thin volume without space under what is zeroed is a target that is full', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const path = join(tempFolder(t), 'tail.raw');
  writeFileSync(path, Buffer.alloc(MiB, 1));
  for (const [error, code] of [
    ['ENOSPC', 'TARGET_FULL'],
    ['EIO', 'TARGET_WRITE_FAILED'],
  ] as const) {
    await withInjected(t, { tool: 'qemu-io', inject: `fallocate,pwrite64:error=${error}` }, async () => {
      const zeroing = withZeroer({ path, device: false, cache: 'none', signal }, (zeroer) =>
        zeroer.zero({ offset: 0, length: MiB }),
      );
      await t.rejects(zeroing, { code });
    });
  }
});

test('a mask over a damaged compressed cluster is no failure of qemu', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const sound = makeChain(t, { layers: [{ cells: 'AB', compressed: true }] });
  const node = await maskOver(sound);
  const shown = readFileSync(sound.truth);
  shown.fill(Buffer.alloc(4 * KiB, 'claim'), 0, 4 * KiB).fill(0, 4 * KiB, 32 * KiB);
  const out = join(sound.dir, 'out.raw');
  writeFileSync(out, Buffer.alloc(sound.size));
  const destination = { kind: 'scratch', name: out } as const;
  await convert({ source: node, target: rawNode(fileNode(out)), destination, cache: 'writeback', signal });
  t.equal(readFileSync(out).equals(shown), true);

  const chain = makeChain(t, { layers: [{ cells: 'AB', compressed: true }] });
  const bytes = readFileSync(chain.layers[0] ?? '');
  bytes.fill(0xff, 5 * 64 * KiB);
  writeFileSync(chain.layers[0] ?? '', bytes);
  await t.rejects(maskOver(chain), {
    code: 'IMAGE_CORRUPT',
    message: /at the start and end of the disk: .*Input\/output error/,
  });
});

test('scratch that fails under a mask does not make its layer a damaged one', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const chain = makeChain(t, { layers: ['AB'] });
  await withInjected(t, { tool: 'qemu-io', inject: 'pwrite64,pwritev:error=EIO' }, async () => {
    await t.rejects(maskOver(chain), { code: 'TOOL_FAILED', message: /cannot create .*mask\.qcow2/ });
  });
});

test('what keeps a tool from being started is told', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  await t.rejects(runTool('qemu-img', ['x'.repeat(256 * KiB)], { signal }), {
    code: 'TOOL_FAILED',
    message: /^qemu-img could not be started: .*E2BIG/,
    hint: /fewer layers/,
  });
  const cwd = join(tempFolder(t), 'gone');
  await t.rejects(runTool('qemu-img', ['--version'], { signal, cwd }), {
    code: 'TOOL_FAILED',
    message: `qemu-img could not be started: its working directory ${cwd} does not exist`,
  });
});

test('a program that is no qemu-img is told with what to look at', async (t) => {
  if (!requires(t, 'bash')) return;
  await withScript(t, { tool: 'qemu-img', script: "echo '{}'" }, async () => {
    const size = virtualSizeOf(fileNode('/x'), { signal });
    await t.rejects(size, { code: 'TOOL_FAILED', message: /no virtual size/, hint: /qemu-img --version/ });
  });
});
