// A chain of many layers, whose rebases one small process starts: the disk is the same whatever becomes of that process.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { stringify } from 'yaml';
import { makeChain } from '../helpers/chain.ts';
import { command } from '../helpers/command.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';

/** What `xargs` does where it is to rebase; undefined for the real one. The last rebases nothing, and ends as if all went well. */
const KINDS = new Map([
  ['real', undefined],
  ['not there', 'exit 127'],
  ['killed after its first', 'head -zn 2 | /usr/bin/xargs "$@"; kill -9 $$'],
  ['rebases onto other names', 'sed -z "s/^[0-9]*\\.qcow2$/other.qcow2/" | /usr/bin/xargs "$@"'],
  ['idle', 'cat > /dev/null'],
]);

test('a chain of twelve layers, rebased through one process', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'setpriv', 'cmp')) return;
  const letters = 'ABCDEFGHIJKL';
  const layers = [...letters].map((letter, index) => `${'-'.repeat(index)}${letter}`);
  const chain = makeChain(t, { layers });
  for (const [kind, script] of KINDS) {
    await t.test(kind, async (t) => {
      const folder = tempFolder(t);
      const target = join(folder, 'disk.raw');
      const plan = join(folder, 'plan.yaml');
      const described = chain.layers.map((path, index) => ({
        checkpoint: `cp-${index}`,
        type: index === 0 ? 'full' : 'incremental',
        object: path.slice(chain.dir.length + 1),
      }));
      const pvcs = [{ name: 'root', target, chain: described }];
      const source = { directory: chain.dir };
      writeFileSync(plan, stringify({ version: 1, source, scratch: { path: join(folder, 's') }, pvcs }));
      if (script !== undefined) {
        writeFileSync(
          join(folder, 'xargs'),
          `#!/bin/bash\n[[ "$*" == *rebase* ]] || exec /usr/bin/xargs "$@"\n${script}\n`,
        );
        chmodSync(join(folder, 'xargs'), 0o755);
      }
      const run = await runRestore(plan, [], { PATH: `${folder}:${process.env.PATH}` });
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'restored');
      t.equal((await command('cmp', [target, chain.truth])).status, 0, 'identical');
    });
  }
});
