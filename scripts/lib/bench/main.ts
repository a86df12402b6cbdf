// scripts/bench: the backups, the server, the cases one after another, the figures.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../../../src/errors.ts';
import { type Call, HELP, parseCall } from './arguments.ts';
import { runCases } from './cases.ts';
import { type Report, renderReport } from './render.ts';
import { withServer } from './server.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(new Error(name)));

try {
  const call = parseCall(process.argv.slice(2));
  if (call === undefined) process.stdout.write(HELP);
  else process.exitCode = await main(call);
} catch (error) {
  process.stderr.write(
    `bench: ${stop.signal.aborted ? `stopped by ${messageOf(stop.signal.reason)}` : messageOf(error)}\n`,
  );
  process.exitCode = stop.signal.aborted ? 130 : 1;
}

/** Gives the exit status: 1 when a target was not identical to the true disk. */
async function main(call: Call): Promise<number> {
  const work = await mkdtemp(join(call.work, 'kdm-bench-'));
  const data = resolve(call.data ?? join(work, 'data'));
  try {
    const results = await withServer({ root: data, folder: join(work, 'nginx'), signal: stop.signal }, (server) => {
      const program = call.program ?? join(ROOT, 'bin/kubevirt-datamover');
      return runCases({ data, work, server, program, rounds: call.rounds, say, signal: stop.signal }, call);
    });
    const report: Report = { version: 1, machine: describeMachine(), rounds: call.rounds, ...results };
    process.stdout.write(call.output === 'json' ? `${JSON.stringify(report, undefined, 2)}\n` : renderReport(report));
    const rows = [
      ...report.cases.map((one) => one.rows),
      ...report.growth.flatMap(({ points }) => points.map((point) => point.rows)),
    ];
    return rows.flat().every(({ identical }) => identical) ? 0 : 1;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function describeMachine(): Record<string, string> {
  const version = execFileSync('qemu-img', ['--version'], { encoding: 'utf8' });
  return {
    cores: String(cpus().length),
    CPU: cpus()[0]?.model ?? 'unknown',
    Linux: release(),
    Node: process.version,
    'qemu-img': /version (\S+)/.exec(version)?.[1] ?? 'unknown',
  };
}

function say(line: string): void {
  process.stderr.write(`bench: ${line}\n`);
}
