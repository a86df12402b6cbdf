// Chains of random shapes through `stream`, onto dirty devices and raw files: what is restored is what plain qemu-img makes
// of the same layers, and what was written into them.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { stringify } from 'yaml';
import { chainGraph, fileNode, toFilename } from '../../src/qemu/graph.ts';
import { BACKUP_TOOLS, difference } from '../helpers/backup.ts';
import { makeChain, qemu, type TestChain } from '../helpers/chain.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { LARGEST_RANDOM_DISK, randomChain } from '../helpers/random-chain.ts';
import { requires } from '../helpers/requires.ts';
import { endSchema, type RestoreCase, type RestoreEnd } from '../helpers/restore-many.ts';
import { cleanEnvironment } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

/** `KUBEVIRT_DM_TEST_CHAINS` makes more of them, from `KUBEVIRT_DM_TEST_FIRST` on, `KUBEVIRT_DM_TEST_SEED` others. */
const COUNT = Number(process.env.KUBEVIRT_DM_TEST_CHAINS ?? 20);
const FIRST = Number(process.env.KUBEVIRT_DM_TEST_FIRST ?? 0);
const SEED = process.env.KUBEVIRT_DM_TEST_SEED ?? '1';

test('random chains', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: LARGEST_RANDOM_DISK });
  const targets = tempFolder(t);
  const restore = restorer(t);
  const ways = new Map<string, number>();
  for (let index = FIRST; index < FIRST + COUNT; index += 1) {
    const seed = `${SEED}-${index}`;
    const made = makeChain(t, randomChain(seed));
    const onDevice = index % 2 === 0;
    const target = onDevice ? device.path : join(targets, 'disk.raw');
    if (onDevice) soil(device.path, made.size);
    const verify = index % 3 === 0 ? 'compare' : 'none';
    const end = await restore({ name: seed, plan: planOf(made, target), strategy: 'stream', verify, force: onDevice });
    ways.set(end.via, (ways.get(end.via) ?? 0) + 1);
    t.equal(end.code, 'ok', `${seed}: ${end.message}`);
    if (onDevice) execFileSync('blockdev', ['--flushbufs', device.path]);
    const restored = onDevice ? device.file : target;
    t.equal(await difference(restored, made.truth), undefined, `${seed}: what was written (${end.via})`);
    t.equal(await difference(restored, plainConvert(made)), undefined, `${seed}: what qemu-img makes of it`);
    if (!onDevice) t.equal(statSync(target).size, made.size, `${seed}: as long as the disk`);
    rmSync(made.dir, { recursive: true });
    rmSync(join(targets, 'disk.raw'), { force: true });
  }
  t.comment(JSON.stringify(Object.fromEntries(ways)));
});

/** Dirty where the disk will lie, and a little behind it. */
function soil(path: string, size: number): void {
  execFileSync('dd', ['if=/dev/zero', `of=${path}`, 'bs=1M', `count=${LARGEST_RANDOM_DISK >> 20}`, 'status=none']);
  writeFileSync(path, Buffer.alloc(size + 8192, 0xee), { flag: 'r+' });
}

function planOf({ dir, layers }: TestChain, target: string): string {
  const chain = layers.map((path, index) => ({
    checkpoint: `cp-${index}`,
    type: index === 0 ? 'full' : 'incremental',
    ...(index === 0 ? {} : { parent: `cp-${index - 1}` }),
    object: path.slice(dir.length + 1),
  }));
  // The target of a plan must not be inside its source.
  const path = join(dir, 'plan.yaml');
  writeFileSync(path, stringify({ version: 1, source: { directory: dir }, pvcs: [{ name: 'disk', target, chain }] }));
  return path;
}

function plainConvert({ dir, layers: [base = '', ...rest] }: TestChain): string {
  const out = join(dir, 'plain.raw');
  const graph = chainGraph([fileNode(base), ...rest.map(fileNode)]);
  qemu('qemu-img', 'convert', '-O', 'raw', toFilename(graph), out);
  return out;
}

/** One process that restores plan after plan. */
function restorer(t: Test): (one: RestoreCase) => Promise<RestoreEnd> {
  const runtime = tempFolder(t);
  const program = fileURLToPath(new URL('../helpers/restore-many.ts', import.meta.url));
  const env = { ...cleanEnvironment({ XDG_RUNTIME_DIR: runtime }), NODE_OPTIONS: '', UV_THREADPOOL_SIZE: '16' };
  const child = spawn(process.execPath, [program], { env, cwd: runtime, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  t.teardown(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'close');
  });
  return async (one) => {
    child.stdin.write(`${JSON.stringify(one)}\n`);
    const { value } = await lines.next();
    return endSchema.parse(JSON.parse(String(value)));
  };
}
