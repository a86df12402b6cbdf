// SIGKILL of our process alone, in each phase: no writer survives, nothing can boot from the device, and the same
// command goes on without --force.
import { once } from 'node:events';
import { type Test, test } from 'tap';
import type { Strategy } from '../../src/strategy.ts';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, madeBackup, uploadBucket } from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS } from '../helpers/bad-device.ts';
import { survivorsOf } from '../helpers/processes.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import {
  HELD_PHASES,
  type HeldPhase,
  headOf,
  holdsTruth,
  probe,
  restoreInPhase,
  type Source,
} from '../helpers/strike.ts';

/** Phases after the last byte was fetched: the next run fetches none of them again. */
const FETCHED = ['rebase', 'flatten', 'convert', 'verify', 'finalize'];
/** Phases in which the target is ours. */
const CLAIMED = ['convert', 'copy', 'verify', 'finalize'];

async function sourceOf(t: Test): Promise<Source> {
  const rgw = await startRgw(t);
  const made = await madeBackup(t, {
    disks: [{ name: 'rootdisk', size: 16 * MiB, initial: { bytes: 10 * MiB } }],
    checkpoints: 4,
  });
  return { made, backup: 'backup-004', disk: 'rootdisk', rgw, bucket: await uploadBucket(rgw, made) };
}

test('killed in each phase', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, ...BAD_DEVICE_TOOLS, 'blkid', 'mkfifo')) return;
  const source = await sourceOf(t);
  const cases: (readonly [HeldPhase, Strategy | undefined])[] = HELD_PHASES.map((phase) => [phase, undefined]);
  cases.push(['verify', 'stream'], ['finalize', 'stream']);
  for (const [phase, strategy] of cases) {
    await t.test(strategy === undefined ? phase : `${phase}, ${strategy}`, async (t) => {
      const held = await restoreInPhase(t, source, phase, strategy === undefined ? {} : { strategy });
      const { run, device, mark } = held;
      run.child.kill('SIGKILL');
      if (run.child.exitCode === null && run.child.signalCode === null) await once(run.child, 'exit');
      t.strictSame(await survivorsOf(mark), [], 'no process survives');
      t.equal(probe(device), '', 'nothing is found on the device');
      t.equal(headOf(device), CLAIMED.includes(phase) ? 'claim' : 'blank');
      const again = await held.again();
      t.equal(again.exitCode, 0, again.document.error?.message ?? 'ends well');
      t.equal(await holdsTruth(source, device), undefined, 'identical to the true disk');
      if (FETCHED.includes(phase) && held.strategy !== 'stream')
        t.equal(again.document.pvcs[0]?.bytesFetched, 0, 'nothing is fetched again');
      t.strictSame(await survivorsOf(mark), [], 'nothing is left running');
    });
  }
});
