// Another user than root, in whose environment nothing names a directory for sockets: `stream` and `serve` keep theirs in /tmp.
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Test, test } from 'tap';
import { KiB } from '../../src/units.ts';
import { makeChain, writeChainPlan } from '../helpers/chain.ts';
import { mustRun } from '../helpers/command.ts';
import { requires } from '../helpers/requires.ts';
import { runCli, startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

/** A user that no other process of this machine is. */
const uid = 50_000 + (process.pid % 10_000);
const env = { TMPDIR: undefined, XDG_RUNTIME_DIR: undefined, HOME: '/' };

interface Setting {
  readonly plan: string;
  readonly target: string;
  readonly truth: string;
}

/** A plan whose source that user may read, and whose target it may make. */
function settingOf(t: Test): Setting {
  const chain = makeChain(t, { unit: 4 * KiB, layers: ['AAAA', '-B'], size: 64 * KiB });
  chmodSync(chain.dir, 0o755);
  for (const path of chain.layers) chmodSync(path, 0o644);
  const folder = tempFolder(t);
  chmodSync(folder, 0o755);
  const own = join(folder, 'own');
  mkdirSync(own);
  chmodSync(own, 0o777);
  const target = join(own, 'disk.raw');
  const plan = writeChainPlan(folder, chain, target);
  chmodSync(plan, 0o644);
  return { plan, target, truth: chain.truth };
}

/** What that user has in /tmp. */
function ownInTmp(): string[] {
  return readdirSync('/tmp').filter((name) => {
    // Others remove theirs meanwhile.
    return statSync(join('/tmp', name), { throwIfNoEntry: false })?.uid === uid;
  });
}

test('stream as another user, without a runtime directory', async (t) => {
  if (!requires(t, 'root', 'qemu-img', 'qemu-io')) return;
  const { plan, target, truth } = settingOf(t);
  const run = await runCli(['restore', plan, '--strategy', 'stream'], { env, uid });
  t.equal(run.exitCode, 0, run.stderr);
  await mustRun('cmp', [target, truth]);
  t.strictSame(ownInTmp(), [], 'nothing is left in /tmp');
});

test('serve as another user, without a runtime directory', async (t) => {
  if (!requires(t, 'root', 'qemu-img', 'qemu-io', 'qemu-nbd')) return;
  const { plan, target, truth } = settingOf(t);
  const socket = join(dirname(target), 'socket');
  const { child, result } = startCli(['serve', plan, '--socket', socket], { env, uid });
  t.teardown(() => child.kill('SIGKILL'));
  if (child.stdout === null) throw new TypeError('stdout is no pipe');
  const lines = createInterface({ input: child.stdout });
  const uri = await Promise.race([
    once(lines, 'line').then(([line]) => String(line)),
    result.then(({ stderr }): never => {
      throw new Error(`serve ended before it was ready: ${stderr}`);
    }),
  ]);
  const [folder = '', ...more] = ownInTmp();
  t.match(folder, /^kubevirt-datamover-/);
  t.strictSame(more, []);
  t.equal(statSync(join('/tmp', folder)).mode & 0o777, 0o700);
  await mustRun('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', truth, uri]);
  child.kill('SIGINT');
  await result;
  t.strictSame(ownInTmp(), [], 'nothing is left in /tmp');
});
