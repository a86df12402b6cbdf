// A fixed part of the fault campaign that docs/reliability.md describes: few runs, in which each fault is met with each strategy.
import { test } from 'tap';
import { BACKUP_COUNT, shareBackups } from '../../scripts/lib/campaign/backups.ts';
import { coveringRuns, faultsOf } from '../../scripts/lib/campaign/cover.ts';
import { DIALECT_NAMES } from '../../scripts/lib/campaign/dialect.ts';
import { type Drawn, drawRun, FAULTS } from '../../scripts/lib/campaign/draw.ts';
import { runOnce } from '../../scripts/lib/campaign/run.ts';
import { STRATEGIES } from '../../src/strategy.ts';
import { BACKUP_TOOLS, truthOf } from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS } from '../helpers/bad-device.ts';
import { CAMPAIGN_TOOLS, keepPromises } from '../helpers/campaign.ts';
import { overwrittenDisk } from '../helpers/overwrite.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { SMALL_DISK_TOOLS } from '../helpers/small-disk.ts';
import { TERMINAL_TOOLS } from '../helpers/terminal.ts';

const TOOLS = [
  ...CAMPAIGN_TOOLS,
  ...BACKUP_TOOLS,
  ...RGW_TOOLS,
  ...BAD_DEVICE_TOOLS,
  ...SMALL_DISK_TOOLS,
  ...TERMINAL_TOOLS,
];

/** Enough seeds for the rarest fault to be drawn with each strategy. */
const SEEDS = 1000;

// One that stalls takes 30 s, and has tests of its own.
const RUNS = coveringRuns(
  Array.from({ length: SEEDS }, (_, index) => drawRun(index + 1, { backups: BACKUP_COUNT })).filter(
    ({ source }) => source !== 'stalling',
  ),
);

test('every fault is among the runs, with every strategy that it is for', async (t) => {
  const met = RUNS.flatMap(faultsOf);
  for (const dialect of ['none', ...DIALECT_NAMES]) t.ok(met.includes(`dialect ${dialect}`), dialect);
  const isFor = (strategy: string, fault: string): boolean => {
    if (strategy !== 'stream') return true;
    // It has no scratch, and cannot check a complete object.
    return fault !== 'source corrupted' && (!fault.startsWith('scratch') || fault === 'scratch none');
  };
  const faults = [
    ...Object.entries(FAULTS).flatMap(([name, values]) => values.map((value) => `${name} ${value}`)),
    ...['kill', 'terminate', 'interrupt', 'hang-up'].map((kind) => `struck by ${kind}`),
    ...[0, 1, 2, 3].map((count) => `struck ${count} times`),
    ...['process', 'everything'].map((of) => `stopped ${of}`),
    ...['open files', 'data'].map((kind) => `limit ${kind}`),
  ].filter((fault) => fault !== 'source stalling');
  for (const strategy of STRATEGIES)
    for (const fault of faults.filter((one) => isFor(strategy, one)))
      t.ok(met.includes(`${strategy}: ${fault}`), `${strategy}: ${fault}`);
});

test('runs of the fault campaign', { timeout: 1_800_000 }, async (t) => {
  if (!requires(t, ...TOOLS)) return;
  await t.test('keep every promise', (t) => keepPromises(t, RUNS));
  await t.test('break one by a wrong byte on a target', async (t) => {
    const [shared] = await shareBackups(t, 's3', 1);
    if (shared === undefined) throw new RangeError('no backup');
    const { made, backup } = shared;
    const truth = overwrittenDisk(truthOf(made, backup, 'rootdisk'), made.folder);
    const checkpoints = made.checkpoints.map((checkpoint) => ({
      ...checkpoint,
      layers: checkpoint.layers.map((layer) => ({ ...layer, truth })),
    }));
    const { broken } = await runOnce(PLAIN, { ...shared, made: { ...made, checkpoints } });
    t.strictSame(broken, ['rootdisk: its target has other content', 'rootdisk: reported restored, is wrong']);
  });
});

/** Nothing goes wrong in it. */
const PLAIN: Drawn = {
  seed: 1,
  backup: 0,
  strategy: 'staged',
  verify: 'none',
  sha256: false,
  chains: 'written',
  source: 'none',
  scratch: 'none',
  fillPhase: 'download',
  target: 'blank device',
  place: 0,
  blows: [],
  mendedAt: 1,
  output: 'pipes',
  dialect: 'none',
  limit: undefined,
  pause: undefined,
  readTimeout: undefined,
};
