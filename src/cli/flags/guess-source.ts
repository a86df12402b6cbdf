// The source of a plan that cannot be used: a report of that failure must not be written into a backup either.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemCode } from '../../errors.ts';
import type { PlanSource } from '../../plan/plan.ts';
import { MAX_PLAN_BYTES } from '../../plan/read.ts';

export interface UnusablePlan {
  readonly path: string;
  /** Of standard input. */
  readonly text: string | undefined;
  readonly cwd: string;
}

/** Each directory that the text seems to name as its source, whatever else is wrong with it. */
export async function guessSources({ path, text, cwd }: UnusablePlan): Promise<PlanSource[]> {
  const plan = text ?? (await readBeginning(path));
  const base = text === undefined ? dirname(path) : cwd;
  return [...plan.matchAll(DIRECTORY)].map(([, name = '']) => ({ kind: 'directory', directory: resolve(base, name) }));
}

/** `directory: PATH` in YAML or JSON, with or without quotes; a comment may follow. */
const DIRECTORY = /["']?\bdirectory["']?\s*:\s*["']?([^"'\n,}]+?)["']?\s*(?:#.*)?(?=[\n,}]|$)/g;

/** As much as a plan may have; nothing of a pipe, which is empty by now, nor of what cannot be read. */
async function readBeginning(path: string): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return '';
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_PLAN_BYTES), 0, MAX_PLAN_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return '';
  }
}
