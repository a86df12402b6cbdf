// A program of its own: restores plan after plan with the program's engine, and says in a line of JSON how each ended.
// So that one strace sees all that many restores open, without starting the program anew for each.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { Paths } from '../../src/paths/paths.ts';
import { readPlan } from '../../src/plan/read.ts';
import { silentProgress } from '../../src/progress.ts';
import { restore } from '../../src/restore/restore.ts';
import { STRATEGIES } from '../../src/strategy.ts';

/** A line of standard input. */
export const caseSchema = z.object({
  name: z.string(),
  plan: z.string(),
  strategy: z.enum(STRATEGIES),
  verify: z.enum(['none', 'compare']).optional(),
  force: z.boolean().optional(),
});

/** A line of standard output. */
export const endSchema = z.object({
  name: z.string(),
  /** `ok` or the error's code. */
  code: z.string(),
  message: z.string(),
  /** How a streamed disk got to its target. */
  via: z.enum(['copy', 'qemu']),
  milliseconds: z.number(),
});

export type RestoreCase = z.infer<typeof caseSchema>;
export type RestoreEnd = z.infer<typeof endSchema>;

/** No restore of a few MiB takes longer; a hang is told as `HANG`. */
const LIMIT_MS = 60_000;

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const one = caseSchema.parse(JSON.parse(line));
    console.log(JSON.stringify(await run(one)));
  }
}

async function run({ name, plan, strategy, verify = 'none', force = false }: RestoreCase): Promise<RestoreEnd> {
  const began = performance.now();
  const signal = AbortSignal.timeout(LIMIT_MS);
  const read = await readPlan({ path: plan, cwd: process.cwd() });
  const { error, pvcs } = await restore({
    plan: read,
    strategy,
    ...(read.scratch?.path === undefined ? {} : { scratch: read.scratch.path }),
    verify,
    force,
    fresh: false,
    checksums: true,
    env: process.env,
    paths: new Paths(),
    progress: silentProgress,
    signal,
  });
  const code = signal.aborted ? 'HANG' : (error?.code ?? 'ok');
  return {
    name,
    code,
    message: error?.message ?? '',
    via: pvcs[0]?.via ?? 'copy',
    milliseconds: Math.round(performance.now() - began),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
