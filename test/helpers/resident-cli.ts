// Many calls of the program in one process, for tests of what it reads, writes and says: nearly all of a short call's CPU is the
// start of Node and the loading of the program. What the process itself does is tested by `runCli`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type callSchema, resultSchema } from './call-many.ts';
import { type CliResult, cleanEnvironment, type RunCliOptions } from './run-cli.ts';
import type { Owner } from './tmp.ts';

/** Each start of a tool copies the tables of this process's memory, and each page that it writes to later is a fault. */
const SMALL_HEAP = '--max-semi-space-size=2';

/** As `runCli`. */
export type ResidentCli = (
  args: readonly string[],
  options?: Pick<RunCliOptions, 'env' | 'stdin' | 'cwd'>,
) => Promise<CliResult>;

/** A process that ends with `t`. Its calls run one after another, each with an environment and a working directory of its own. */
export function residentCli(t: Owner): ResidentCli {
  const program = fileURLToPath(new URL('call-many.ts', import.meta.url));
  // As many threads as bin/thread-pool.js gives the program.
  const env = { ...cleanEnvironment({ UV_THREADPOOL_SIZE: '12' }), NODE_OPTIONS: '' };
  const child = spawn(process.execPath, [SMALL_HEAP, program], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  t.teardown(async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'close');
  });
  let last: Promise<unknown> = Promise.resolve();
  return (args, { env: added = {}, stdin = '', cwd = process.cwd() } = {}) => {
    const call = async (): Promise<CliResult> => {
      const defined = Object.entries(cleanEnvironment(added)).filter(([, value]) => value !== undefined);
      const line = { args: [...args], env: Object.fromEntries(defined), stdin, cwd };
      child.stdin.write(`${JSON.stringify(line satisfies Record<keyof typeof callSchema.shape, unknown>)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error(`the program ended in the middle of: ${args.join(' ')}`);
      return resultSchema.parse(JSON.parse(String(value)));
    };
    const result = last.then(call);
    last = result.catch(() => {});
    return result;
  };
}

let ofThisFile: Promise<ResidentCli> | undefined;

/** A call in the one resident process of this test file: the first call starts it, and it ends with the file's last test. */
export const sharedCli: ResidentCli = async (args, options) => {
  // Not imported above: what does no test, but reads results as tests do, would print TAP.
  ofThisFile ??= import('tap').then(({ t }) => residentCli(t));
  const cli = await ofThisFile;
  return await cli(args, options);
};
