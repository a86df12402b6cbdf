// `--save-plan FILE`: the plan that the flags made, so that it can be read, kept, and run again.
import { open, readFile, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DatamoverError, messageOf, systemCode } from '../../errors.ts';
import { undefinedIfMissing } from '../../missing.ts';
import { refuse } from '../flags/usage.ts';
import type { Session } from '../session/session.ts';

/**
 * Writes `yaml` to `path`, flushed. A file that holds exactly that is left alone; USAGE for any other, for a place where it
 * cannot be written, and for one inside what the run reads.
 */
export async function savePlan(path: string, yaml: string, { cwd, paths }: Session): Promise<void> {
  const place = resolve(cwd, path);
  paths.writes({ kind: 'saved plan', path: place });
  const conflicts = await paths.problems('saved plan');
  if (conflicts.length > 0) throw DatamoverError.fromProblems(conflicts);
  try {
    const found = await undefinedIfMissing(readFile(place, 'utf8'));
    if (found === yaml) return;
    if (found === undefined) return await writeNew(place, yaml);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    refuse(`the plan cannot be saved to ${path}: ${messageOf(error)}`, 'name a new file in an existing directory');
  }
  refuse(
    `the plan cannot be saved to ${path}: it exists and holds something else`,
    `to run the plan in it: kubevirt-datamover restore ${path}; else choose another file`,
  );
}

async function writeNew(place: string, yaml: string): Promise<void> {
  const file = await open(place, 'wx', 0o644);
  try {
    await file.writeFile(yaml);
    await file.sync();
  } catch (error) {
    await rm(place, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
