// `qemu-img map`: where a graph's bytes come from, run by run, streamed (109 bytes of JSON a run; never held whole).
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { DatamoverError } from '../errors.ts';
import { type BlockGraph, toFilename } from './graph.ts';
import { lastErrorLine, startTool } from './run.ts';

export interface MapOptions {
  readonly source: BlockGraph;
  /** Guest bytes to look at; all by default. */
  readonly startOffset?: number;
  readonly maxLength?: number;
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

const runSchema = z.object({
  /** Guest offset and length, bytes. */
  start: z.number().int().nonnegative(),
  length: z.number().int().nonnegative(),
  /** 0 for the tip, 1 for its parent, … */
  depth: z.number().int().nonnegative(),
  /** False where no layer holds anything. */
  present: z.boolean(),
  zero: z.boolean(),
  /** A data cluster; it may say `zero` too where the file below is sparse. */
  data: z.boolean(),
  /** Where the run begins in that layer's file; compressed clusters have none. */
  offset: z.number().int().nonnegative().optional(),
});

export type MapRun = z.infer<typeof runSchema>;

/**
 * The runs in guest order. Leaving the loop early ends the child.
 * @throws DatamoverError IMAGE_CORRUPT when the graph cannot be opened or read, TOOL_FAILED.
 */
export async function* mapImage(options: MapOptions): AsyncGenerator<MapRun, void, undefined> {
  const stop = new AbortController();
  const { source, startOffset, maxLength, timeoutMs } = options;
  const args = ['map', '--output=json'];
  if (startOffset !== undefined) args.push(`--start-offset=${startOffset}`);
  if (maxLength !== undefined) args.push(`--max-length=${maxLength}`);
  const child = startTool('qemu-img', [...args, toFilename(source)], {
    signal: AbortSignal.any([options.signal, stop.signal]),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
  let finished = false;
  // The last line of a child that was ended is torn: it is parsed when it is known how the child ended.
  let held: string | undefined;
  try {
    for await (const line of createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
      const run = held === undefined ? undefined : parseMapLine(held);
      held = line;
      if (run !== undefined) yield run;
    }
    const { exitCode, stderr } = await child.ended;
    finished = true;
    if (exitCode !== 0) {
      throw new DatamoverError('IMAGE_CORRUPT', `qemu-img cannot map the chain${lastErrorLine(stderr)}`, {
        hint: 'get another copy of the layers: a layer or the storage that it is read from is damaged',
      });
    }
    const run = held === undefined ? undefined : parseMapLine(held);
    if (run !== undefined) yield run;
  } finally {
    if (!finished) await endEarly(stop, child.ended);
  }
}

/** A line of `map --output=json`: one run, or undefined for the closing bracket. */
export function parseMapLine(line: string): MapRun | undefined {
  const text = line
    .trim()
    .replace(/^\[/, '')
    .replace(/[,\]]+$/, '');
  if (text === '') return undefined;
  try {
    return runSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DatamoverError('TOOL_FAILED', `unexpected output from qemu-img map: ${text.slice(0, 200)}`, {
      hint: 'check that PATH leads to QEMU (`qemu-img --version`), then run again with --log-level debug',
      cause,
    });
  }
}

async function endEarly(stop: AbortController, ended: Promise<unknown>): Promise<void> {
  stop.abort();
  try {
    await ended;
  } catch {
    // The child was ended on purpose; whatever made us leave the loop is what the caller hears.
  }
}
