// The program's own memory, from a disk of 1 TiB in 200 layers that hold more data than all of its buffers: the kernel counts it.
import { closeSync, copyFileSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { GiB, KiB, MiB, TiB } from '../../src/units.ts';
import { qemu, type TestChain } from '../helpers/chain.ts';
import { NGINX_TOOLS, startNginxServer } from '../helpers/nginx.ts';
import { requires } from '../helpers/requires.ts';
import { parseDocument } from '../helpers/restore.ts';
import { programPath, runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const HOOK = fileURLToPath(new URL('../../scripts/lib/bench/usage-hook.cjs', import.meta.url));
const LAYERS = 200;
const MOST = 300 * MiB;

test('a disk of 1 TiB in 200 layers', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', ...NGINX_TOOLS)) return;
  if (programPath().endsWith('.ts')) {
    t.pass('dist/ is not fresh: the sources need more memory', { skip: 'npm run build' });
    return;
  }
  const chain = longChain(t);
  const url = await startNginxServer(t, `root ${dirname(chain.dir)};`);
  for (const strategy of ['staged', 'stream']) {
    await t.test(strategy, async (t) => {
      const folder = tempFolder(t);
      const target = join(folder, 'disk.raw');
      const usage = join(folder, 'usage');
      const env = { KDM_BENCH_USAGE: usage, XDG_RUNTIME_DIR: folder };
      const args = ['restore', planOf(folder, { chain, url, target }), '--strategy', strategy, '--output', 'json'];
      const run = await runCli(args, { env, nodeArgs: ['--require', HOOK] });
      t.equal(run.exitCode, 0, parseDocument(run.stdout).error?.message ?? 'ends well');
      // Both are sparse: holes are passed over.
      qemu('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', chain.truth, target);
      const { rss } = z.object({ rss: z.number() }).parse(JSON.parse(readFileSync(usage, 'utf8')));
      t.ok(rss <= MOST, `${Math.round(rss / MiB)} MiB at most`);
      t.comment(`${strategy}: ${Math.round(rss / MiB)} MiB`);
    });
  }
});

/**
 * 160 MiB in the full, 512 KiB over it in each incremental, and a cluster for each layer in a part of the disk of its own. Whole clusters
 * need no parent, so that a layer takes one process.
 */
function longChain(t: Test): LongChain {
  const dir = tempFolder(t);
  const [empty, truth] = [join(dir, 'empty'), join(dir, 'truth.raw')];
  qemu('qemu-img', 'create', '-q', '-f', 'qcow2', empty, `${TiB}`);
  const disk = openSync(truth, 'w');
  ftruncateSync(disk, TiB);
  const layers = Array.from({ length: LAYERS }, (_, index) => {
    const byte = index + 1;
    const writes = [
      index === 0 ? { offset: 0, length: 160 * MiB } : { offset: ((index * 37) % 320) * 512 * KiB, length: 512 * KiB },
      { offset: byte * 5 * GiB, length: 64 * KiB },
    ];
    for (const { offset, length } of writes) writeSync(disk, Buffer.alloc(length, byte), 0, length, offset);
    const path = join(dir, `${index}.qcow2`);
    copyFileSync(empty, path);
    const commands = writes.map(({ offset, length }) => `write -q -P ${byte} ${offset} ${length}`);
    qemu('qemu-io', '-f', 'qcow2', '-t', 'unsafe', ...commands.flatMap((command) => ['-c', command]), path);
    return path;
  });
  closeSync(disk);
  return { dir, layers, truth };
}

type LongChain = Pick<TestChain, 'dir' | 'layers' | 'truth'>;

function planOf(
  folder: string,
  { chain, url, target }: { readonly chain: LongChain; readonly url: string; readonly target: string },
): string {
  const credentials = join(folder, 'credentials');
  writeFileSync(credentials, '[default]\naws_access_key_id=test\naws_secret_access_key=test\n', { mode: 0o600 });
  const layers = chain.layers.map((path, index) => ({
    checkpoint: `c${index}`,
    type: index === 0 ? 'full' : 'incremental',
    object: basename(path),
  }));
  const s3 = {
    bucket: basename(chain.dir),
    endpoint: url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentialsFile: credentials,
  };
  const scratch = { path: join(folder, 'scratch') };
  const plan = { version: 1, source: { s3 }, scratch, pvcs: [{ name: 'disk', target, chain: layers }] };
  const path = join(folder, 'plan.json');
  writeFileSync(path, JSON.stringify(plan));
  return path;
}
