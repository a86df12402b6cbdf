// A few runs of the fault campaign on each store other than S3, those whose source fails in some way: scripts/campaign --store has more.
import { test } from 'tap';
import { BACKUP_COUNT } from '../../scripts/lib/campaign/backups.ts';
import { type Drawn, drawRun } from '../../scripts/lib/campaign/draw.ts';
import { AZURITE_TOOLS } from '../helpers/azurite.ts';
import { BACKUP_TOOLS } from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS } from '../helpers/bad-device.ts';
import { CAMPAIGN_TOOLS, keepPromises } from '../helpers/campaign.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { SMALL_DISK_TOOLS } from '../helpers/small-disk.ts';
import { TERMINAL_TOOLS } from '../helpers/terminal.ts';

const TOOLS = [...CAMPAIGN_TOOLS, ...BACKUP_TOOLS, ...BAD_DEVICE_TOOLS, ...SMALL_DISK_TOOLS, ...TERMINAL_TOOLS];
/** A run for each, with the first seed that has it. */
const FAULTS: readonly Drawn['source'][] = ['lossy', 'confused', 'swapped'];

for (const [store, tools] of [
  ['azure', AZURITE_TOOLS],
  ['gcs', RGW_TOOLS],
] as const) {
  test(`runs of the fault campaign on ${store}`, { timeout: 600_000 }, async (t) => {
    if (!requires(t, ...TOOLS, ...tools)) return;
    const all = Array.from({ length: 200 }, (_, index) => drawRun(index + 1, { backups: BACKUP_COUNT, store }));
    const simple = all.filter(
      ({ pause, limit, scratch, blows }) =>
        pause === undefined && limit === undefined && scratch === 'none' && blows.length < 2,
    );
    const runs = FAULTS.flatMap((fault) => simple.find(({ source }) => source === fault) ?? []);
    t.equal(runs.length, FAULTS.length);
    await keepPromises(t, runs, store);
  });
}
