// A program of its own: runs call after call of kubevirt-datamover, each a line of standard input, and says in a line of JSON what
// came of it. It does what src/main.ts does, signals and the end of the process apart.
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { runProgram } from '../../src/cli/program.ts';
import { fenceEnvironment } from '../../src/cli/session/fence.ts';
import { RecordedStream } from './text-stream.ts';

/** A line of standard input. */
export const callSchema = z.object({
  args: z.array(z.string()),
  env: z.record(z.string(), z.string()),
  stdin: z.string(),
});

/** A line of standard output. */
export const resultSchema = z.object({ exitCode: z.number(), stdout: z.string(), stderr: z.string() });

async function main(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await run(callSchema.parse(JSON.parse(line)))));
  }
}

async function run({ args, env, stdin }: z.infer<typeof callSchema>): Promise<z.infer<typeof resultSchema>> {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  fenceEnvironment(process.env);
  const [stdout, stderr] = [new RecordedStream(), new RecordedStream()];
  const warn = (warning: Error): void => void stderr.write(`${warning.stack}\n`);
  process.on('warning', warn);
  const exitCode = await runProgram({
    argv: args,
    env: process.env,
    cwd: process.cwd(),
    stdin: Readable.from(stdin === '' ? [] : [Buffer.from(stdin)]),
    stdout,
    stderr,
    signal: new AbortController().signal,
    now: () => performance.timeOrigin + performance.now(),
  });
  process.off('warning', warn);
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
