// scripts/campaign: seeds → runs → a table, and the exit status 1 when a promise was broken.

import { mapBounded } from '../../../src/concurrency.ts';
import { messageOf } from '../../../src/errors.ts';
import { STRATEGIES } from '../../../src/strategy.ts';
import { type Call, HELP, parseCall } from './arguments.ts';
import { type SharedBackup, shareBackups } from './backups.ts';
import { describeRun } from './describe.ts';
import { type Drawn, drawRun } from './draw.ts';
import { withOwner } from './owner.ts';
import { type RunResult, runOnce } from './run.ts';
import { campaignTable } from './table.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(new Error(`ended by ${name}`)));

try {
  const call = parseCall(process.argv.slice(2));
  if (call === undefined) process.stdout.write(HELP);
  else process.exitCode = await campaign(call);
} catch (error) {
  process.stderr.write(`campaign: ${messageOf(stop.signal.aborted ? stop.signal.reason : error)}\n`);
  process.exitCode = stop.signal.aborted ? 130 : 2;
}

async function campaign({ seeds, jobs, strategies, store, json, verbose }: Call): Promise<number> {
  const began = performance.now();
  const results: RunResult[] = [];
  // What was done until a signal is printed too.
  await withOwner(async (owner) => {
    const backups = await shareBackups(owner, store);
    const runs = seeds.flatMap((seed) => strategies.map((from) => ({ seed, from })));
    await mapBounded(runs, { limit: jobs, signal: stop.signal }, async ({ seed, from }) => {
      const drawn = drawRun(seed, { backups: backups.length, strategies: from, store });
      const result = await runOnce(drawn, backupOf(backups, drawn));
      process.stderr.write(describe(result));
      if (verbose && result.log !== undefined) process.stderr.write(result.log);
      results.push(result);
    });
  }).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  const broken = results.filter((result) => result.broken.length > 0);
  const seconds = Math.round((performance.now() - began) / 1000);
  process.stdout.write(
    json ? `${JSON.stringify({ seconds, broken: broken.length, runs: results })}\n` : `${campaignTable(results)}\n`,
  );
  process.stderr.write(`${results.length} runs in ${seconds} s, ${broken.length} broke a promise\n`);
  // A strategy that was drawn is part of what the seed drew; one that was named alone is not.
  const isDrawn = strategies.some(({ length }) => length > 1);
  for (const { drawn } of broken) {
    const from = isDrawn ? strategies.flat() : [drawn.strategy];
    const flags = from.length === STRATEGIES.length ? '' : from.map((name) => ` --strategy ${name}`).join('');
    process.stderr.write(
      `again: scripts/campaign --one ${drawn.seed}${flags}${store === 's3' ? '' : ` --store ${store}`}\n`,
    );
  }
  stop.signal.throwIfAborted();
  return broken.length === 0 ? 0 : 1;
}

function backupOf(backups: readonly SharedBackup[], { backup }: Drawn): SharedBackup {
  const found = backups[backup];
  if (found === undefined) throw new RangeError(`no backup ${backup}`);
  return found;
}

/** One line a run, and what it broke. */
function describe(result: RunResult): string {
  const { broken } = result;
  const lines = [`${broken.length === 0 ? 'ok    ' : 'BROKEN'} ${describeRun(result)}`];
  return `${[...lines, ...broken.map((one) => `       ${one}`)].join('\n')}\n`;
}
