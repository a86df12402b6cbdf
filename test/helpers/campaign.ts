// Runs of the fault campaign, by the program that makes them: its peers pass gigabytes on, and in a process of its own that does not
// make V8 collect what tap and the tests have loaded, nor every start of a program copy their pages.
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { z } from 'zod';
import { describeRun } from '../../scripts/lib/campaign/describe.ts';
import type { Drawn } from '../../scripts/lib/campaign/draw.ts';
import type { StoreName } from '../../scripts/lib/campaign/stores.ts';
import { command } from './command.ts';

/** What `requires` must find before `keepPromises`. */
export const CAMPAIGN_TOOLS = ['setpriv'] as const;

const CAMPAIGN = fileURLToPath(new URL('../../scripts/lib/campaign/main.ts', import.meta.url));
/** Most of a run is waiting: for processes to start, for back-off, for a slow peer. */
const JOBS = 3;

const documentSchema = z.object({
  runs: z.array(
    z.object({
      drawn: z.looseObject({ seed: z.number() }),
      outcome: z.string(),
      attempts: z.array(z.string()),
      broken: z.array(z.string()),
      seconds: z.number(),
      log: z.string().optional(),
    }),
  ),
});

/** Asserts that each of the runs that were drawn keeps every promise. One that breaks any is shown with the command that replays it alone. */
export async function keepPromises(t: Test, drawn: readonly Drawn[], store: StoreName = 's3'): Promise<void> {
  const seeds = drawn.flatMap(({ seed }) => ['--one', String(seed)]);
  const args = ['--jobs', String(JOBS), '--store', store, '--output', 'json', ...seeds];
  // Under tap `spawn` puts tap's loader into NODE_OPTIONS of every child; env(1) takes it out.
  const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, CAMPAIGN, ...args];
  const { status, stdout, stderr } = await command('setpriv', ['--pdeathsig', 'TERM', '--', ...program]);
  if (stdout === '') throw new Error(`the campaign ended with ${status}: ${stderr}`);
  const { runs } = documentSchema.parse(JSON.parse(stdout));
  for (const one of drawn) {
    const run = runs.find(({ drawn: { seed } }) => seed === one.seed);
    if (run === undefined) {
      t.fail(`seed ${one.seed} was not run`);
      continue;
    }
    const { log = '', broken, ...rest } = run;
    t.strictSame(run.drawn, JSON.parse(JSON.stringify(one)), `seed ${one.seed} draws the same`);
    t.strictSame(broken, [], describeRun({ ...rest, drawn: one, broken, block: undefined }));
    const flags = store === 's3' ? '' : `--store ${store} `;
    if (broken.length > 0) t.comment(`again: scripts/campaign ${flags}--one ${one.seed}\n${log}`);
  }
  t.equal(status, 0, 'exit status');
}
