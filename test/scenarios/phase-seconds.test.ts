// A PVC's `seconds` in the result: the phases that the log shows for it, and no others, within the total.
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { STRATEGIES } from '../../src/strategy.ts';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, type PlanForOptions, planFor } from '../helpers/backup.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const PHASES = {
  staged: ['download', 'checksum', 'rebase', 'check-image', 'convert', 'verify', 'finalize'],
  'staged-raw': ['download', 'checksum', 'rebase', 'check-image', 'flatten', 'convert', 'verify', 'finalize'],
  stream: ['check-image', 'copy', 'verify', 'finalize'],
};

async function secondsOf(
  t: Test,
  made: BackupForTest,
  args: readonly string[],
  options: PlanForOptions = {},
): Promise<{ readonly exitCode: number | null; readonly phases: readonly string[] }> {
  const plan = await planFor(made, 'backup-003', { rootdisk: join(tempFolder(t), 'disk.raw') }, options);
  const run = watchRestore(t, plan, args, { env: { XDG_RUNTIME_DIR: tempFolder(t) } });
  const { exitCode, document } = await run.end;
  const started = run.lines.filter(({ event, pvc }) => event === 'phase-started' && pvc === 'rootdisk');
  const { total = Number.NaN, ...seconds } = document?.pvcs[0]?.seconds ?? {};
  const phases = Object.keys(seconds);
  t.strictSame(
    phases,
    started.map(({ phase }) => phase),
    'as the log shows them, in their order',
  );
  const milliseconds = Object.values(seconds).map((time) => Math.round(time * 1000));
  const sum = milliseconds.reduce((all, time) => all + time, 0);
  t.ok(sum <= Math.round(total * 1000), `${milliseconds.join(' + ')} ms ≤ ${total} s`);
  t.ok(total <= (document?.seconds ?? 0), 'within the run');
  return { exitCode, phases };
}

test('the keys of seconds are the phases that ran, and they add up to no more than the total', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 8 * MiB }], checkpoints: 3 });
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const args = ['--strategy', strategy];
      const compared = await secondsOf(t, made, [...args, '--verify', 'compare']);
      t.strictSame(compared, { exitCode: 0, phases: PHASES[strategy] });
      const restored = await secondsOf(t, made, args);
      t.strictSame(restored, { exitCode: 0, phases: PHASES[strategy].filter((phase) => phase !== 'verify') });
    });
  }
  await t.test('the phase that failed counts too', async (t) => {
    const wrongHash: PlanForOptions['edit'] = ({ pvcs }) => {
      for (const layer of pvcs.flatMap(({ chain }) => chain ?? [])) layer.sha256 = '0'.repeat(64);
    };
    const failed = await secondsOf(t, made, [], { edit: wrongHash });
    t.equal(failed.exitCode, 4);
    t.ok(failed.phases.includes('download'));
    t.notOk(failed.phases.includes('rebase'));
  });
});
