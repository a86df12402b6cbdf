// What a run records of a target right before it finishes it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'tap';
import { partialPathOf } from '../../src/target/partial-file.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);

test('a file that cannot be read back is the target’s failure, not scratch’s', async (t) => {
  if (!requires(t, 'strace')) return;
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  const script = `
    const { openJournal } = await import(${source('scratch/journal.ts')});
    const { recordFinishing } = await import(${source('restore/finished.ts')});
    const { openTarget } = await import(${source('target/open.ts')});
    const signal = new AbortController().signal;
    const target = await openTarget({ path: ${JSON.stringify(path)}, partialTag: 'plan', signal });
    const claim = { planId: 'plan', pvc: 'rootdisk', diskSize: 4096, runId: 'run' };
    const session = await target.begin({ claim, diskSize: 4096, replace: false, signal });
    const journal = await openJournal(${JSON.stringify(join(folder, 'journal'))});
    const on = { chain: { disk: { name: 'rootdisk' }, layers: [], virtualSize: 4096 }, target, verified: false };
    try {
      await recordFinishing(journal, on, { session, edges: [] });
    } catch ({ name, code, message, hint }) {
      console.log(JSON.stringify({ name, code, message, hint }));
    }
    await session.abandon();
    await journal.close();`;
  const inject = ['-P', partialPathOf(path, 'plan'), '-e', 'inject=pread64:error=EIO'];
  const args = ['-f', '-qq', '-o', '/dev/null', ...inject, process.execPath, '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync('strace', args, { encoding: 'utf8' });
  t.not(stdout, '', stderr);
  t.match(JSON.parse(stdout), {
    name: 'DatamoverError',
    code: 'TARGET_WRITE_FAILED',
    message: `cannot read ${partialPathOf(path, 'plan')} back: input/output error`,
    hint: /dmesg/,
  });
});
