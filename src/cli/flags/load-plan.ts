// Reads the plan that a command was given: a file, or standard input for `-`.
import { resolve } from 'node:path';
import { DatamoverError, type Problem } from '../../errors.ts';
import type { Plan } from '../../plan/plan.ts';
import type { Session } from '../session/session.ts';

export interface LoadedPlan {
  readonly plan: Plan;
  /** What is wrong with the plan and does not keep it from being checked further. */
  readonly problems: readonly Problem[];
}

/** Adds the plan and the files that it names to the session's paths. USAGE without a plan, PLAN_INVALID as `readPlanToCheck` says. */
export async function loadPlan(argument: string | undefined, session: Session): Promise<LoadedPlan> {
  if (argument === undefined || argument === '') {
    throw new DatamoverError('USAGE', 'no plan given', {
      hint: 'name the plan file, or - for standard input, or add --source and --vm; to create a plan: kubevirt-datamover plan --help',
    });
  }
  const { MAX_PLAN_BYTES, readPlanToCheck } = await import('../../plan/read.ts');
  const { pathsOfSource } = await import('../../paths/source-paths.ts');
  const { cwd, env, paths } = session;
  const path = argument === '-' ? '/proc/self/fd/0' : resolve(cwd, argument);
  paths.reads({ what: 'plan', path, ...(argument === '-' ? { label: 'plan on standard input' } : {}) });
  const text = argument === '-' ? await readStandardInput(session, MAX_PLAN_BYTES) : undefined;
  try {
    const read = await readPlanToCheck(text === undefined ? { path, cwd, signal: session.signal } : { text, cwd });
    paths.reads(...pathsOfSource(read.plan.source, env));
    return read;
  } catch (error) {
    const { guessSources } = await import('./guess-source.ts');
    for (const source of await guessSources({ path, text, cwd })) paths.reads(...pathsOfSource(source, env));
    throw error;
  }
}

/** Stops when `limit` is exceeded, which is reported when the text is read: a disk image may be piped in by mistake. */
async function readStandardInput({ stdin, stderr, signal }: Session, limit: number): Promise<string> {
  if (stdin.isTTY === true) stderr.write('reading the plan from standard input; press Ctrl-D to finish\n');
  const cancel = (): void => void stdin.destroy();
  signal.addEventListener('abort', cancel, { once: true });
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stdin) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes);
      size += bytes.length;
      if (size > limit) break;
    }
  } finally {
    signal.removeEventListener('abort', cancel);
  }
  signal.throwIfAborted();
  return Buffer.concat(chunks).toString('utf8');
}
