// scripts/test after the set-up: lint, types, tests, leftovers, and the line that sums them up.
//
//   run-tests.ts [PATH…]   all of it, or just the test files under these paths
//   run-tests.ts --unit    the tests that need nothing beyond Node: no root, no tools, no set-up
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { programPath } from '../../../test/helpers/run-cli.ts';
import { removeLeftovers, SHARED } from './leftovers.ts';
import { selectFiles } from './select-files.ts';
import { secondsOf, TapReport, type Totals } from './tap-report.ts';

const CHECKS: ReadonlyMap<string, readonly string[]> = new Map([
  ['lint', ['biome', 'check', '.']],
  ['no export, file or dependency without a user', ['knip', '--no-progress']],
  ['types', ['tsc', '--noEmit']],
]);

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit status: 0 when nothing failed, 1 when something did, 128 + signal when stopped by one. */
async function main(args: readonly string[]): Promise<number> {
  const { values, positionals: paths } = parseArgs({
    args: [...args],
    options: { unit: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const { unit } = values;
  const files = selectFiles(paths, { unit });
  const folder = mkdtempSync(join(tmpdir(), 'kdmt-'));
  // As /tmp is: some tests run programs as another user.
  chmodSync(folder, 0o1777);
  // One compile cache for the tests and the program that they start, thousands of times; it is removed with the folder.
  const shared = join(folder, SHARED);
  mkdirSync(shared);
  const env = {
    ...process.env,
    TMPDIR: folder,
    KUBEVIRT_DM_TEST_SHARED: shared,
    FORCE_COLOR: '0',
    NODE_COMPILE_CACHE: join(folder, 'node-compile-cache'),
  };
  const stopped = stopOnSignals();
  let passed = 0;
  let failed = 0;
  const count = (name: string, good: boolean): void => {
    console.log(`${good ? 'ok    ' : 'FAILED'} ${name}`);
    if (good) passed += 1;
    else failed += 1;
  };
  try {
    if (unit && programPath().endsWith('.ts')) {
      // The program starts several times as fast when it is built; scripts/setup has done so for all other runs.
      await run(['npm', 'run', '--silent', 'build'], { env, signal: stopped.signal });
    }
    const all = paths.length === 0 && !unit;
    const check = async (): Promise<void> => {
      for (const [name, command] of CHECKS) {
        count(name, (await run(command, { env, signal: stopped.signal })) === 0);
      }
    };
    const options = { env, signal: stopped.signal };
    // The S3 server takes half a minute to start, and little CPU: the checks and the tests that need no server run meanwhile.
    const early = new Set(all ? selectFiles(paths, { unit: true }) : []);
    const others = files.filter((file) => !early.has(file));
    const runs = [runFiles(others, { ...options, withServer: all })];
    if (early.size > 0) runs.push(runFiles([...early], { ...options, withServer: false }));
    const [totals] = await Promise.all([Promise.all(runs), all ? check() : undefined]);
    const cpuMs = totals.reduce((sum, part) => sum + part.cpuMs, 0);
    if (cpuMs > 0) console.log(`CPU of all files: ${secondsOf(cpuMs)}`);
    for (const part of totals) {
      passed += part.passed;
      failed += part.failed;
    }
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

/** Runs test files; with one S3 server for all of them, or the few that need one start theirs. */
async function runFiles(
  files: readonly string[],
  { withServer, ...options }: RunOptions & { readonly withServer: boolean },
): Promise<Totals> {
  const ci = process.env.CI === 'true';
  const report = new TapReport({ skipsFail: ci, print: (line) => console.log(line) });
  const command = [process.execPath, 'scripts/lib/test/run-files.ts', ...files];
  // What runs beside the start of the server must not hold it up.
  const status = await run(withServer ? ['scripts/rgw', ...command] : ['nice', '-n', '5', ...command], {
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
