// A program of its own: runs call after call of kubevirt-datamover, each a line of standard input, and says in a line of JSON what
// came of it. It does what src/main.ts does, signals and the end of the process apart.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { fenceEnvironment } from '../../src/cli/session/fence.ts';
import { runHere } from './run-here.ts';

/** A line of standard input. */
export const callSchema = z.object({
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  stdin: z.string(),
  cwd: z.string(),
});

/** A line of standard output. */
export const resultSchema = z.object({ exitCode: z.number(), stdout: z.string(), stderr: z.string() });

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await run(callSchema.parse(JSON.parse(line)))));
  }
}

async function run({ args, env, stdin, cwd }: z.infer<typeof callSchema>): Promise<z.infer<typeof resultSchema>> {
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  fenceEnvironment(process.env);
  return await runHere(args, { env: process.env, stdin });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
