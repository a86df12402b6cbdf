// `qemu-img map`: where a graph's bytes come from, run by run, streamed (109 bytes of JSON a run; never held whole).
import { DatamoverError } from '../errors.ts';
import { type BlockGraph, toFilename } from './graph.ts';
import { startTool } from './run.ts';
import { lastErrorLine } from './said.ts';

export interface MapOptions {
  readonly source: BlockGraph;
  /** Guest bytes to look at; all by default. */
  readonly startOffset?: number;
  readonly maxLength?: number;
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

export interface MapRun {
  /** Guest offset and length, bytes. */
  readonly start: number;
  readonly length: number;
  /** 0 for the tip, 1 for its parent, … */
  readonly depth: number;
  /** False where no layer holds anything. */
  readonly present: boolean;
  readonly zero: boolean;
  /** A data cluster; it may say `zero` too where the file below is sparse. */
  readonly data: boolean;
  /** Where the run begins in that layer's file; compressed clusters have none. */
  readonly offset?: number;
}

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
  // It may end while the caller is busy with a run, long before the loop asks how.
  child.ended.catch(() => {});
  let finished = false;
  // The last line of a child that was ended is torn: it is parsed when it is known how the child ended.
  let held: string | undefined;
  try {
    for await (const line of linesOf(child.stdout)) {
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
    const run: unknown = JSON.parse(text);
    if (isRun(run)) return known(run);
    throw new TypeError('a key is missing or has another type');
  } catch (cause) {
    throw new DatamoverError('TOOL_FAILED', `unexpected output from qemu-img map: ${text.slice(0, 200)}`, {
      hint: 'check that PATH leads to QEMU (`qemu-img --version`), then run again with --log-level debug',
      cause,
    });
  }
}

/** A chain has millions of lines: a schema of zod takes three times as long as the parsing. */
function isRun(value: unknown): value is MapRun {
  if (typeof value !== 'object' || value === null) return false;
  const run: { readonly [Key in keyof MapRun]?: unknown } = value;
  const flags = typeof run.present === 'boolean' && typeof run.zero === 'boolean' && typeof run.data === 'boolean';
  const numbers = isCount(run.start) && isCount(run.length) && isCount(run.depth);
  return flags && numbers && (run.offset === undefined || isCount(run.offset));
}

/** Newer versions say more. */
function known({ start, length, depth, present, zero, data, offset }: MapRun): MapRun {
  return { start, length, depth, present, zero, data, ...(offset === undefined ? {} : { offset }) };
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** The lines of a stream, which is read no faster than they are taken. */
async function* linesOf(stream: AsyncIterable<string | Buffer>): AsyncGenerator<string, void, undefined> {
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield line;
  }
  if (rest !== '') yield rest;
}

async function endEarly(stop: AbortController, ended: Promise<unknown>): Promise<void> {
  stop.abort();
  try {
    await ended;
  } catch {
    // The child was ended on purpose; whatever made us leave the loop is what the caller hears.
  }
}
