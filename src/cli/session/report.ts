// `--report FILE`: the result document in a file, whole or not at all.
import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DatamoverError, messageOf, systemCode } from '../../errors.ts';
import { failureDocument, type Outcome, withProblem } from './outcome.ts';
import { outputFailed } from './print-result.ts';
import { type Session, settle } from './session.ts';

/**
 * Runs `work` and writes its document to `path` as well, whether it succeeded or failed; with no path it only runs.
 * USAGE, before `work` starts, when a report cannot be written there; a report that cannot be written afterwards is the
 * problem OUTPUT_FAILED of an outcome that stays what it is.
 */
export async function withReport(
  path: string | undefined,
  session: Session,
  work: (session: Session) => Promise<Outcome>,
): Promise<Outcome> {
  if (path === undefined) return await work(session);
  const report = await openReport(path, session);
  const outcome = await settle(session, work, failureDocument);
  try {
    await report.write(outcome.document);
    return outcome;
  } catch (error) {
    const message = `${report.path}: writing the report failed: ${messageOf(error)}`;
    return withProblem(outcome, outputFailed(message, error, outcome.complete));
  }
}

export interface Report {
  readonly path: string;
  /** Writes the document beside its place, flushes and renames it. */
  write(document: object): Promise<void>;
}

/**
 * Proves that a report can be written to `path` before anything else begins, by making a file beside it; what stands
 * there stays until the new one is whole. USAGE when it cannot be, or when `path` is no regular file (a rename would
 * replace a device node).
 */
export async function openReport(path: string, { cwd }: { readonly cwd: string }): Promise<Report> {
  const place = await placeOf(resolve(cwd, path));
  try {
    const probe = temporaryBeside(place);
    await (await open(probe, 'wx', 0o644)).close();
    await rm(probe);
  } catch (error) {
    throw unwritable(path, messageOf(error), error);
  }
  return { path: place, write: (document) => writeReport(place, document) };
}

async function writeReport(place: string, document: object): Promise<void> {
  const temporary = temporaryBeside(place);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(`${JSON.stringify(document)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, place);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Where a link leads, so that the link stays. */
async function placeOf(path: string): Promise<string> {
  try {
    const place = await realpath(path);
    if (!(await stat(place)).isFile()) throw unwritable(path, 'it is not a regular file');
    return place;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return path;
    if (error instanceof DatamoverError) throw error;
    throw unwritable(path, messageOf(error), error);
  }
}

function temporaryBeside(place: string): string {
  return join(dirname(place), `.${basename(place)}.${randomBytes(6).toString('hex')}.tmp`);
}

function unwritable(path: string, why: string, cause?: unknown): DatamoverError {
  return new DatamoverError('USAGE', `the report cannot be written to ${path}: ${why}`, {
    cause,
    hint: 'name a file in a folder that exists and can be written to',
  });
}
