// What an interrupted run left in scratch, and what later runs of its plan make of it: a check that fails takes nothing away.
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const BACKUP = 'backup-002';
const TOOLS = [...BACKUP_TOOLS, 'root', 'losetup', 'mkfifo'];

async function twoDisks(t: Test): Promise<BackupForTest> {
  return await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 16 * MiB },
      { name: 'datadisk', size: 8 * MiB },
    ],
    checkpoints: 2,
  });
}

interface Stopped {
  readonly plan: string;
  readonly scratch: string;
  readonly first: ReturnType<typeof loopDevice>;
  /** The second PVC's target, a file that is not there. */
  readonly second: string;
}

/** A run that was ended by SIGTERM in the second PVC, the first one finished. */
async function stoppedInSecond(t: Test, made: BackupForTest): Promise<Stopped> {
  const folder = tempFolder(t);
  const [scratch, second] = [join(folder, 'scratch'), join(folder, 'data.img')];
  const first = loopDevice(t, { size: 16 * MiB });
  const plan = await planFor(made, BACKUP, { rootdisk: first.path, datadisk: second }, { scratch });
  const gate = gateBefore(t, '^rebase', { nth: 2 });
  const run = watchRestore(t, plan, [], { env: gate.env });
  await gate.reached();
  run.child.kill('SIGTERM');
  const { exitCode, document } = await run.end;
  t.equal(exitCode, 143);
  t.match(document?.pvcs, [{ state: 'restored' }, { state: 'failed' }]);
  return { plan, scratch, first, second };
}

test('a check that fails leaves what an earlier run left', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  const { plan, scratch, first, second } = await stoppedInSecond(t, made);
  writeFileSync(second, 'somebody else');
  const refused = await runRestore(plan);
  t.equal(refused.document.error?.code, 'TARGET_NOT_BLANK');
  t.match(refused.document.problems, [{ pvc: 'datadisk' }], 'of the PVC that was not finished, alone');
  t.equal(readdirSync(scratch).length, 1, 'its folder stays');
  rmSync(second);
  const run = await runRestore(plan);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
  t.match(run.document.pvcs, [
    { state: 'restored', bytesDownloaded: 0 },
    { state: 'restored', bytesDownloaded: 0 },
  ]);
  t.equal(await difference(first.file, truthOf(made, BACKUP, 'rootdisk')), undefined);
  t.equal(await difference(second, truthOf(made, BACKUP, 'datadisk')), undefined);
  t.strictSame(readdirSync(scratch), [], 'a run that ends well leaves nothing');
});

test('a check that fails leaves nothing where nothing was', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const made = await twoDisks(t);
  const folder = tempFolder(t);
  const scratch = join(folder, 'scratch');
  const target = join(folder, 'data.img');
  writeFileSync(target, 'somebody else');
  const refused = await runRestore(await planFor(made, BACKUP, { datadisk: target }, { scratch }));
  t.equal(refused.document.error?.code, 'TARGET_NOT_BLANK');
  t.notOk(existsSync(scratch));
});
