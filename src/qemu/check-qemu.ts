// Are QEMU's tools there, and new enough?
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DatamoverError, type Problem } from '../errors.ts';
import { programMissing } from '../launchers.ts';
import { collect } from '../problems.ts';
import { type QemuTool, runTool } from './run.ts';
import { lastErrorLine } from './said.ts';

/** 5.2 (2020) brought extended L2 entries and `map --start-offset`; zstd clusters came with 5.1. */
const MIN_VERSION: readonly [number, number] = [5, 2];

/**
 * Asks each of `tools`, `qemu-img` alone by default, and gives the first one's version.
 * @throws DatamoverError TOOL_MISSING with a problem for each one that is missing or older than 5.2.
 */
export async function checkQemu({
  tools = ['qemu-img'],
  signal,
}: {
  readonly tools?: readonly [QemuTool, ...QemuTool[]];
  readonly signal: AbortSignal;
}): Promise<{ version: string }> {
  const asked = await Promise.all(
    tools.map(async (tool) => {
      const problems: Problem[] = [];
      return { version: await collect(problems, () => checkTool(tool, signal)), problems };
    }),
  );
  signal.throwIfAborted();
  const version = asked.find((one) => one.version !== undefined)?.version;
  const problems = asked.flatMap((one) => one.problems);
  // Without the programs that tools run under, each tool fails in the same words, and what else is missing stays unknown.
  if (version === undefined) problems.push(...(await findMissing([...WRAPPERS, ...tools])));
  const different = problems.filter(
    ({ message }, index) => problems.findIndex((one) => one.message === message) === index,
  );
  if (version === undefined || different.length > 0) throw DatamoverError.fromProblems(different);
  return { version };
}

const WRAPPERS = ['setpriv', 'prlimit'] as const;

async function findMissing(programs: readonly string[]): Promise<readonly Problem[]> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  if (folders.length === 0) return [];
  const found = await Promise.all(programs.map((program) => isOnPath(program, folders)));
  return programs.filter((_, index) => !found[index]).flatMap((program) => programMissing(program).problems);
}

async function isOnPath(program: string, folders: readonly string[]): Promise<boolean> {
  const attempts = folders.map((folder) => access(join(folder, program), constants.X_OK));
  return await Promise.any(attempts).then(
    () => true,
    // In none of them.
    () => false,
  );
}

async function checkTool(tool: QemuTool, signal: AbortSignal): Promise<string> {
  const { stdout, stderr } = await runTool(tool, ['--version'], { signal, timeoutMs: 60_000 });
  // `qemu-img version 7.2.22 (…)`, but `qemu-nbd 7.2.22 (…)`.
  const match = /^qemu-\w+ (?:version )?(\d+)\.(\d+)(\.\d+)?/m.exec(stdout);
  if (match === null)
    throw new DatamoverError('TOOL_MISSING', `${tool} does not report its version${lastErrorLine(stderr)}`, {
      hint: HINT,
    });
  const [major, minor] = [Number(match[1]), Number(match[2])];
  const version = `${major}.${minor}${match[3] ?? ''}`;
  if (major < MIN_VERSION[0] || (major === MIN_VERSION[0] && minor < MIN_VERSION[1])) {
    throw new DatamoverError(
      'TOOL_MISSING',
      `${tool} is version ${version}; ${MIN_VERSION.join('.')} or newer is required`,
      {
        hint: HINT,
      },
    );
  }
  return version;
}

const HINT = 'install a newer one: apt-get install qemu-utils (or put it on PATH)';
