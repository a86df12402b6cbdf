// Reads a plan from a file or from text that was piped in.
import { constants, openSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DatamoverError, messageOf, type Problem, systemCode } from '../errors.ts';
import { resolveExisting } from '../folders.ts';
import { MiB } from '../units.ts';
import { parsePlan } from './parse.ts';
import type { Plan } from './plan.ts';

/** More than any plan holds: 200 layers take 50 KiB, and 2,000 disks with four layers each 2 MiB. */
export const MAX_PLAN_BYTES = 8 * MiB;

export type PlanInput =
  /** A file; paths in the plan count from its folder (from `cwd` when it is a pipe). */
  | { readonly path: string; readonly cwd: string; readonly signal?: AbortSignal }
  /** The text of `where` (standard input by default); paths in it count from `cwd`. */
  | { readonly text: string; readonly cwd: string; readonly where?: string };

/**
 * Reads, checks and normalises a plan; all paths in it are absolute afterwards. Throws PLAN_INVALID with all problems at
 * once (a file that is missing, unreadable, over 8 MiB or no text too), or CHAIN_BROKEN when written chains are in disorder.
 */
export async function readPlan(input: PlanInput): Promise<Plan> {
  const { plan, problems } = await readPlanToCheck(input);
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  return plan;
}

/** As `readPlan`, for a caller that checks more: PLAN_INVALID for two targets in one place comes back beside the plan. */
export async function readPlanToCheck(
  input: PlanInput,
): Promise<{ readonly plan: Plan; readonly problems: readonly Problem[] }> {
  const { text, ...options } = 'text' in input ? fromText(input) : await fromFile(input);
  const plan = parsePlan(text, options);
  return { plan, problems: await sameTargetProblems(plan, options.where) };
}

interface Source {
  readonly text: string;
  readonly where: string;
  readonly folder: string;
}

function fromText({ text, cwd, where = 'standard input' }: Extract<PlanInput, { readonly text: string }>): Source {
  if (Buffer.byteLength(text) > MAX_PLAN_BYTES) throw tooLong(where);
  // What was no UTF-8 was decoded to this: better refused than looked up in a bucket.
  if (text.includes('\uFFFD')) throw noText(where);
  return { text, where, folder: cwd };
}

async function fromFile({ path, cwd, signal }: Extract<PlanInput, { readonly path: string }>): Promise<Source> {
  const absolute = resolve(cwd, path);
  const { bytes, isFile } = await readBounded(absolute, { path, ...(signal === undefined ? {} : { signal }) });
  signal?.throwIfAborted();
  if (bytes.length > MAX_PLAN_BYTES) throw tooLong(path);
  return { text: decodeUtf8(bytes, path), where: path, folder: isFile ? dirname(absolute) : cwd };
}

/** Reads no further than one byte past the limit, from a pipe too, whose size nobody knows. */
async function readBounded(
  absolute: string,
  { path, signal }: { readonly path: string; readonly signal?: AbortSignal },
): Promise<{ bytes: Uint8Array; isFile: boolean }> {
  try {
    if ((await stat(absolute)).isFIFO()) return { bytes: await readPipe(absolute, signal), isFile: false };
    await using file = await open(absolute, 'r');
    const isFile = (await file.stat()).isFile();
    const buffer = Buffer.allocUnsafe(MAX_PLAN_BYTES + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return { bytes: buffer.subarray(0, length), isFile };
  } catch (error) {
    throw unreadable(path, error);
  }
}

/**
 * As soon as `signal` is aborted, what has come by then. To wait for a writer in open(2) or read(2) would occupy a thread of
 * libuv's, and process.exit() waits for all of them. Opened once: another open would not see that a writer had come and gone.
 */
async function readPipe(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  const { Socket } = await import('node:net');
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  const cancel = (): void => void socket.destroy();
  signal?.addEventListener('abort', cancel, { once: true });
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    if (signal?.aborted === true) return new Uint8Array();
    for await (const chunk of socket) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes);
      size += bytes.length;
      if (size > MAX_PLAN_BYTES) break;
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    socket.destroy();
  }
  return Buffer.concat(chunks);
}

function unreadable(path: string, error: unknown): DatamoverError {
  const code = systemCode(error);
  const why = code === 'ENOENT' ? 'not found' : code === 'EISDIR' ? 'is a directory' : 'cannot be read';
  return new DatamoverError('PLAN_INVALID', `the plan ${path} ${why} (${code ?? messageOf(error)})`, {
    hint: 'name the plan file, or - for standard input; run `kubevirt-datamover plan` to create one',
    cause: error,
  });
}

function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw noText(where, error);
  }
}

function noText(where: string, cause?: unknown): DatamoverError {
  return new DatamoverError('PLAN_INVALID', `${where}: not UTF-8 text`, {
    hint: 'use a plan in YAML or JSON, encoded in UTF-8',
    ...(cause === undefined ? {} : { cause }),
  });
}

function tooLong(where: string): DatamoverError {
  return new DatamoverError('PLAN_INVALID', `${where}: invalid plan: larger than ${MAX_PLAN_BYTES / MiB} MiB`, {
    hint: 'name the plan file, not a disk image or an index of the bucket',
  });
}

/** Targets that differ in name but not in place, once links are resolved. */
async function sameTargetProblems({ pvcs }: Plan, where: string): Promise<Problem[]> {
  const seen = new Map<string, string>();
  const problems: Problem[] = [];
  for (const { name, target } of pvcs) {
    const real = await realTarget(target);
    const other = seen.get(real);
    if (other === undefined) seen.set(real, name);
    else {
      problems.push({
        pvc: name,
        code: 'PLAN_INVALID',
        message: `${where}: the targets of PVCs ${other} and ${name} are the same: ${target} is ${real}`,
        hint: 'give each PVC its own target',
      });
    }
  }
  return problems;
}

/** `target` with its links resolved as far as it exists. What is wrong with it is for the target's check to say. */
async function realTarget(target: string): Promise<string> {
  const { real, missing } = await resolveExisting(target);
  return join(real, ...missing);
}
