// `--report FILE`: the result document in a file, completely or not at all.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DatamoverError, messageOf, type Problem, systemCode } from '../../errors.ts';
import { undefinedIfMissing } from '../../missing.ts';
import { keepOwnership } from '../../ownership.ts';
import { collect } from '../../problems.ts';
import { formatBytes, KiB, MiB } from '../../units.ts';
import { failureDocument, type Outcome, withProblem } from './outcome.ts';
import { outputFailed } from './print-result.ts';
import { type Session, settle } from './session.ts';

/**
 * Runs `work` and writes its document to `path` as well, whether it succeeded or failed; with no path it only runs.
 * When a report cannot be written there, `work` is given USAGE to report with all other problems, and must do nothing else; a
 * report that cannot be written afterwards is the
 * problem OUTPUT_FAILED of an outcome that stays what it is. What `work` reads or writes itself is never replaced: `work`
 * refuses that (`session.paths`), and if it did not come so far, there is no report.
 */
export async function withReport(
  path: string | undefined,
  session: Session,
  work: (problems: readonly Problem[]) => Promise<Outcome>,
): Promise<Outcome> {
  if (path === undefined) return await work([]);
  const problems: Problem[] = [];
  const report = await collect(problems, () => openReport(path, session));
  if (report === undefined) return await work(problems);
  const outcome = await settle(session, async () => await work([]), failureDocument);
  try {
    const [conflict] = await session.paths.problems('report');
    if (conflict === undefined) await report.write(outcome.document);
    else if (!outcome.problems.some(({ message }) => message === conflict.message)) {
      return withProblem(outcome, new DatamoverError(conflict.code, conflict.message, { hint: conflict.hint }));
    }
    return outcome;
  } catch (error) {
    const message = `${report.path}: writing the report failed: ${messageOf(error)}`;
    return withProblem(outcome, outputFailed(message, error, outcome.complete));
  }
}

interface Report {
  readonly path: string;
  /** Writes the document beside its place, flushes and renames it. */
  write(document: object): Promise<void>;
}

/**
 * Proves that a report can be written to `path` before anything else begins; what stands there stays until the new one is
 * complete. USAGE when it cannot be, or when `path` is no regular file (a rename would replace a device node). Adds it to
 * the session's paths.
 */
async function openReport(path: string, { cwd, paths }: Pick<Session, 'cwd' | 'paths'>): Promise<Report> {
  const place = await resolveReportPath(resolve(cwd, path));
  try {
    await checkWritable(place);
  } catch (error) {
    throw unwritable(path, messageOf(error), error);
  }
  paths.writes({ kind: 'report', path: place, refusal: () => findRefusal(place) });
  return { path: place, write: (document) => writeReport(place, document) };
}

/** A file without a name is made in the directory: what is in there, which may be a backup, does not change. */
const O_TMPFILE = 0o20200000;

async function checkWritable(place: string): Promise<void> {
  const probe = temporaryBeside(place);
  // A name that is too long, or a directory that is none, is an error here too.
  await undefinedIfMissing(lstat(probe));
  try {
    await (await open(dirname(place), constants.O_WRONLY | O_TMPFILE, 0o600)).close();
  } catch (error) {
    if (!WITHOUT_TMPFILE.has(systemCode(error) ?? '')) throw error;
    await (await open(probe, 'wx', 0o600)).close();
    await rm(probe);
  }
}

/** What NFS, FUSE, FAT and others say to O_TMPFILE. */
const WITHOUT_TMPFILE: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL', 'ENOENT', 'ENOSYS']);

/** A disk image or a layer may be of a backup that this run has not read: no report replaces one. */
async function findRefusal(place: string): Promise<string | undefined> {
  try {
    await using file = await open(place, constants.O_RDONLY | constants.O_NONBLOCK);
    const { size } = await file.stat();
    if (size > LARGEST) return `already exists with ${formatBytes(size)}, more than any report has`;
    return (await holdsZeroByte(file)) ? 'already exists with binary data, as a disk image has' : undefined;
  } catch (error) {
    // Not there yet; or not to be read by us, which is no reason against an older report of another user.
    if (systemCode(error) !== undefined) return undefined;
    throw error;
  }
}

/** A report of a thousand PVCs with hundreds of layers each. */
const LARGEST = 256 * MiB;

async function holdsZeroByte(file: FileHandle): Promise<boolean> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4 * KiB), 0, 4 * KiB, 0);
  return buffer.subarray(0, bytesRead).includes(0);
}

async function writeReport(place: string, document: object): Promise<void> {
  const temporary = temporaryBeside(place);
  try {
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(`${JSON.stringify(document)}\n`);
      const old = await undefinedIfMissing(stat(place));
      if (old !== undefined) await keepOwnership(file, old);
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
async function resolveReportPath(path: string): Promise<string> {
  try {
    const place = await realpath(path);
    if (!(await stat(place)).isFile()) throw unwritable(path, 'not a regular file');
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
    hint: 'name a file in an existing, writable directory',
  });
}
