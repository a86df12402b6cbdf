// Processes that are stopped for a while, as by SIGSTOP or a frozen container.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { z } from 'zod';
import { cleanEnvironment } from './run-cli.ts';

/** Longer than any delay of a busy machine, and than the time limits that these tests set. */
export const STOP_MS = 3_000;

/** Stops a process for `STOP_MS`; `meanwhile` runs as soon as it has stopped. */
export async function stopFor(child: ChildProcess, meanwhile: () => void = () => {}): Promise<void> {
  child.kill('SIGSTOP');
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8'))) await delay(5);
  meanwhile();
  await delay(STOP_MS);
  child.kill('SIGCONT');
}

const endSchema = z.object({
  value: z.unknown().optional(),
  error: z.string().optional(),
  realMs: z.number(),
  awakeMs: z.number(),
  asleepMs: z.number(),
});

export interface Waiting {
  readonly child: ChildProcess;
  readonly end: Promise<z.infer<typeof endSchema>>;
}

/** Starts a wait of `stopped-script.ts`; resolves when it waits. */
export async function startWaiting(
  t: Test,
  mode: 'timer' | 'tool' | 'read',
  options: unknown,
  env: NodeJS.ProcessEnv = {},
): Promise<Waiting> {
  const script = fileURLToPath(new URL('stopped-script.ts', import.meta.url));
  const args = ['-u', 'NODE_OPTIONS', process.execPath, script, mode, JSON.stringify(options)];
  const child = spawn('env', args, { env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  await once(lines, 'line');
  const end = once(lines, 'line').then(([line]) => endSchema.parse(JSON.parse(String(line))));
  return { child, end };
}
