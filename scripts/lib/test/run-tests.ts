// scripts/test after the set-up: lint, types, tests, leftovers, and the line that sums them up.
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { removeLeftovers } from './leftovers.ts';
import { TapReport } from './tap-report.ts';

const CHECKS: ReadonlyMap<string, readonly string[]> = new Map([
  ['lint', ['biome', 'check', '.']],
  ['no export, file or dependency without a user', ['knip', '--no-progress']],
  ['types', ['tsc', '--noEmit']],
]);

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit status: 0 when nothing failed, 1 when something did, 128 + signal when stopped by one. */
async function main(files: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'kdmt-'));
  // As /tmp is: some tests run programs as another user.
  chmodSync(folder, 0o1777);
  const env = { ...process.env, TMPDIR: folder, FORCE_COLOR: '0' };
  const stopped = stopOnSignals();
  let passed = 0;
  let failed = 0;
  const count = (name: string, good: boolean): void => {
    console.log(`${good ? 'ok    ' : 'FAILED'} ${name}`);
    if (good) passed += 1;
    else failed += 1;
  };
  try {
    if (files.length === 0) {
      for (const [name, command] of CHECKS) {
        count(name, (await run(command, { env, signal: stopped.signal })) === 0);
      }
    }
    const totals = await runTap(files, { env, signal: stopped.signal });
    passed += totals.passed;
    failed += totals.failed;
  } finally {
    const leftovers = await removeLeftovers(folder);
    for (const leftover of leftovers) console.log(`left over: ${leftover}`);
    if (leftovers.length > 0) count('nothing is left over', false);
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${passed} passed, ${failed} failed`);
  if (stopped.signal.aborted) return 128 + constants.signals[stopped.name()];
  return failed === 0 && passed > 0 ? 0 : 1;
}

interface RunOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

/** Runs all test files with one S3 server for all of them; a few files start theirs if they need it. */
async function runTap(files: readonly string[], options: RunOptions): Promise<{ passed: number; failed: number }> {
  const ci = process.env.CI === 'true';
  const report = new TapReport({ skipsFail: ci, print: (line) => console.log(line) });
  const command = ['tap', '--reporter=tap', ...files];
  const status = await run(files.length === 0 ? ['scripts/rgw', ...command] : command, {
    ...options,
    onLine: (line) => report.line(line),
  });
  return report.end(status);
}

/** Runs a command to its end: its exit status, 1 when a signal ended it. A stop is passed on as SIGTERM. */
function run(
  [program = '', ...args]: readonly string[],
  { env, signal, onLine }: RunOptions & { readonly onLine?: (line: string) => void },
): Promise<number> {
  if (signal.aborted) return Promise.resolve(1);
  const output = onLine === undefined ? 'inherit' : 'pipe';
  const child = spawn(program, args, { env, stdio: ['ignore', output, 'inherit'] });
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', stop);
  if (child.stdout !== null && onLine !== undefined) createInterface({ input: child.stdout }).on('line', onLine);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      signal.removeEventListener('abort', stop);
      resolve(code ?? 1);
    });
  });
}

/** SIGINT and SIGTERM end the run in an orderly way: children first, then leftovers. */
function stopOnSignals(): { readonly signal: AbortSignal; name(): 'SIGINT' | 'SIGTERM' } {
  const controller = new AbortController();
  let name: 'SIGINT' | 'SIGTERM' = 'SIGTERM';
  for (const each of ['SIGINT', 'SIGTERM'] as const) {
    process.on(each, () => {
      name = each;
      controller.abort();
    });
  }
  return { signal: controller.signal, name: () => name };
}
