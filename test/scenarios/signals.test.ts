// SIGTERM and SIGINT in each phase: an orderly end within 10 s, the claim wiped, and scratch kept for the next run.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, madeBackup, uploadBucket } from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS } from '../helpers/bad-device.ts';
import { processesWith, survivorsOf } from '../helpers/processes.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import {
  HELD_PHASES,
  type HeldPhase,
  headOf,
  holdsTruth,
  type RestoreInPhase,
  restoreInPhase,
  type Source,
} from '../helpers/strike.ts';
import type { WatchedEnd } from '../helpers/watched-restore.ts';

/** Design section 8. */
const BOUND_MS = 10_000;

async function sourceOf(t: Test): Promise<Source> {
  const rgw = await startRgw(t);
  const made = await madeBackup(t, {
    disks: [{ name: 'rootdisk', size: 16 * MiB, initial: { bytes: 10 * MiB } }],
    checkpoints: 4,
  });
  return { made, backup: 'backup-004', disk: 'rootdisk', rgw, bucket: await uploadBucket(rgw, made) };
}

async function endWithinBound({ run }: RestoreInPhase): Promise<WatchedEnd | undefined> {
  const bound = new AbortController();
  const late = delay(BOUND_MS, undefined, { signal: bound.signal }).catch(() => undefined);
  const end = await Promise.race([run.end, late]);
  bound.abort();
  return end;
}

/** What must hold after a cancelled run, and that the same command then ends well. */
async function endsInOrder(
  t: Test,
  source: Source,
  { phase, held, status }: { readonly phase: HeldPhase; readonly held: RestoreInPhase; readonly status: number },
): Promise<void> {
  const end = await endWithinBound(held);
  if (end === undefined) {
    t.fail(`still running after ${BOUND_MS} ms`);
    return;
  }
  t.equal(end.exitCode, status, end.document?.error?.message ?? 'no error');
  t.match(end.document, { result: 'cancelled', error: { code: 'CANCELLED' } });
  t.strictSame(await survivorsOf(held.mark), [], 'no process survives');
  t.equal(headOf(held.device), 'blank', 'no claim is left');
  const keeps = phase !== 'preflight' && held.strategy !== 'stream';
  t.equal(existsSync(held.scratch), keeps, 'scratch is kept when something was fetched into it');
  const again = await held.again();
  t.equal(again.exitCode, 0, again.document.error?.message ?? 'the same command ends well');
  t.equal(await holdsTruth(source, held.device), undefined, 'identical to the true disk');
  if (!['preflight', 'download', 'check-image'].includes(phase) && held.strategy !== 'stream') {
    t.equal(again.document.pvcs[0]?.bytesFetched, 0, 'nothing is fetched again');
  }
}

test('SIGTERM in each phase', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, ...BAD_DEVICE_TOOLS, 'mkfifo')) return;
  const source = await sourceOf(t);
  for (const phase of HELD_PHASES) {
    await t.test(phase, async (t) => {
      const held = await restoreInPhase(t, source, phase);
      held.run.child.kill('SIGTERM');
      await endsInOrder(t, source, { phase, held, status: 143 });
    });
  }
  await t.test('verify, stream', async (t) => {
    const held = await restoreInPhase(t, source, 'verify', { strategy: 'stream' });
    held.run.child.kill('SIGTERM');
    await endsInOrder(t, source, { phase: 'verify', held, status: 143 });
  });
  // The edges are in memory: the run that would take the first one back finishes the last one instead.
  await t.test('finalize, stream', async (t) => {
    const held = await restoreInPhase(t, source, 'finalize', { strategy: 'stream' });
    held.run.child.kill('SIGTERM');
    const end = await endWithinBound(held);
    if (end === undefined) return void t.fail(`still running after ${BOUND_MS} ms`);
    t.equal(end.exitCode, 0, end.document?.error?.message ?? 'the restore is complete');
    t.match(end.document, { result: 'ok', pvcs: [{ state: 'restored', verified: true }] });
    t.strictSame(await survivorsOf(held.mark), [], 'no process survives');
    t.equal(await holdsTruth(source, held.device), undefined, 'identical to the true disk');
  });
});

test('SIGINT, as a terminal sends it: to the whole process group', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, ...BAD_DEVICE_TOOLS, 'mkfifo')) return;
  const source = await sourceOf(t);
  for (const phase of ['download', 'rebase', 'verify'] as const) {
    await t.test(phase, async (t) => {
      const held = await restoreInPhase(t, source, phase, { detached: true });
      const group = held.run.child.pid;
      const all = processesWith(held.mark);
      const own = all.find(({ pid }) => pid === group)?.command;
      // A child that has not called exec yet has the program's command line, and leaves the group before it does.
      const reached = all.filter(({ pid, command }) => command !== own && groupOf(pid) === group);
      t.strictSame(reached, [], 'it reaches no child: the lock is kept, and no tool looks as if it had failed');
      process.kill(-(held.run.child.pid ?? Number.NaN), 'SIGINT');
      await endsInOrder(t, source, { phase, held, status: 130 });
    });
  }
});

/** proc(5): after the name in parentheses come state, parent and process group. */
function groupOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
  } catch {
    // It has ended meanwhile.
    return undefined;
  }
}
