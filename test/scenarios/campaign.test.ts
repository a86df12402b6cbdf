// A fixed part of the fault campaign: sixty runs by seed, whose faults docs/reliability.md tells. A seed that breaks a
// promise is printed with the command that replays it alone.
import { test } from 'tap';
import { BACKUP_COUNT, shareBackups } from '../../scripts/lib/campaign/backups.ts';
import { describeRun } from '../../scripts/lib/campaign/describe.ts';
import { drawRun } from '../../scripts/lib/campaign/draw.ts';
import { runOnce } from '../../scripts/lib/campaign/run.ts';
import { mapBounded } from '../../src/concurrency.ts';
import { BACKUP_TOOLS } from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS } from '../helpers/bad-device.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { SMALL_DISK_TOOLS } from '../helpers/small-disk.ts';
import { TERMINAL_TOOLS } from '../helpers/terminal.ts';

const RUNS = 60;
/** Most of a run is waiting: for processes to start, for back-off, for a slow peer. */
const JOBS = 3;

test('sixty runs of the fault campaign', { timeout: 1_800_000 }, async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, ...BAD_DEVICE_TOOLS, ...SMALL_DISK_TOOLS, ...TERMINAL_TOOLS)) return;
  const backups = await shareBackups(t);
  const { signal } = new AbortController();
  // One that stalls takes 30 s, and is told by tests of its own.
  const seeds = Array.from({ length: 2 * RUNS }, (_, index) => index + 1)
    .map((seed) => drawRun(seed, { backups: BACKUP_COUNT }))
    .filter(({ source }) => source !== 'stalling')
    .slice(0, RUNS);
  await mapBounded(seeds, { limit: JOBS, signal }, async (drawn) => {
    const shared = backups[drawn.backup];
    if (shared === undefined) throw new RangeError(`no backup ${drawn.backup}`);
    const result = await runOnce(drawn, shared);
    t.strictSame(result.broken, [], describeRun(result));
    if (result.broken.length > 0) t.comment(`again: scripts/campaign --one ${drawn.seed}\n${result.log ?? ''}`);
  });
});
