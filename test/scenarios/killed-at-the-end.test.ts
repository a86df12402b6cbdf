// SIGKILL after the last byte, before the result is printed: the same command must find its PVCs complete, and end with 0.
import { once } from 'node:events';
import { existsSync, readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { STRATEGIES } from '../../src/strategy.ts';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

/** Standard output is a pipe that is full, and that no other process reads. */
const FULL_PIPE = 'mkfifo "$PIPE"; exec 9<>"$PIPE"; head -c 65536 /dev/zero >"$PIPE"; exec "$@" >"$PIPE"';

const BACKUP = 'backup-002';

test('killed while the result waits for its reader', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 8 * MiB },
      { name: 'datadisk', size: 4 * MiB },
    ],
    checkpoints: 2,
  });
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const [folder, runtime, scratch] = [tempFolder(t), tempFolder(t), join(tempFolder(t), 'scratch')];
      const targets = { rootdisk: join(folder, 'rootdisk.raw'), datadisk: join(folder, 'datadisk.raw') };
      const plan = await planFor(made, BACKUP, targets, { scratch });
      const report = join(tempFolder(t), 'report.json');
      const seen = new Promise<void>((resolve) => {
        const watcher = watch(join(report, '..'), () => existsSync(report) && resolve());
        t.teardown(() => watcher.close());
      });
      const args = ['--strategy', strategy, '--report', report];
      const env = { XDG_RUNTIME_DIR: runtime, PIPE: join(folder, 'pipe') };
      const run = watchRestore(t, plan, args, { env, through: ['sh', '-c', FULL_PIPE, 'sh'] });
      await Promise.race([seen, run.end]);
      run.child.kill('SIGKILL');
      if (run.child.exitCode === null && run.child.signalCode === null) await once(run.child, 'exit');
      t.equal(run.child.signalCode, 'SIGKILL', 'it had not ended');
      const again = await runRestore(plan, ['--strategy', strategy], { XDG_RUNTIME_DIR: runtime });
      t.equal(again.exitCode, 0, again.stderr);
      t.strictSame(
        again.document.pvcs.map(({ state }) => state),
        ['kept', 'kept'],
      );
      for (const [disk, target] of Object.entries(targets)) {
        t.equal(
          await difference(target, truthOf(made, BACKUP, disk)),
          undefined,
          `${disk} is identical to the true disk`,
        );
      }
      t.strictSame(readdirSync(runtime), []);
      if (strategy !== 'stream') t.strictSame(readdirSync(scratch), [], 'nothing is left in scratch');
    });
  }
});
