// One start of the program with its output as drawn: on a full device, closed, never read, on a terminal.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { parseDocument } from '../../../test/helpers/restore.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import {
  type WatchedEnd,
  type WatchedRestore,
  watchRestore,
  watchRestoreInTerminal,
} from '../../../test/helpers/watched-restore.ts';
import type { Drawn } from './draw.ts';
import { type Limit, limitCommand } from './limit.ts';

export interface Started {
  readonly run: WatchedRestore;
  /** The end, with the document from where it can be read. */
  endOf(end: WatchedEnd): StartedEnd;
  hangUp(): Promise<void>;
}

export interface StartedEnd extends WatchedEnd {
  /** Whether stdout took nothing: the document is the report's then. */
  readonly resultLost: boolean;
  /** Of the main thread; undefined where the program did not come to its own end, or ran on a terminal. */
  readonly block: LongestBlock | undefined;
}

export type LongestBlock = z.infer<typeof blockSchema>;

/** By the clock, which a busy machine prolongs, and the processor's time within. */
const blockSchema = z.object({ delayMs: z.number(), cpuMs: z.number() });

export interface StartOptions {
  readonly plan: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly output: Drawn['output'];
  /** Whether this start is on a terminal that will be hung up. */
  readonly hangsUp: boolean;
  readonly limit: Limit | undefined;
}

export function startWith(owner: Owner, { plan, args, env, output, hangsUp, limit }: StartOptions): Started {
  const set = limit === undefined ? '' : limitCommand(limit);
  if (hangsUp) {
    const through = ['sh', '-c', `${set}exec "$@"`, 'sh'];
    const { hangUp, ...run } = watchRestoreInTerminal(owner, plan, args, { env, through });
    return { run, endOf: (end) => ({ ...end, resultLost: false, block: undefined }), hangUp };
  }
  const resultLost = output === 'result full';
  const folder = tempFolder(owner);
  const [report, block] = [join(folder, 'report.json'), join(folder, 'block.json')];
  const more = resultLost ? ['--report', report] : [];
  const run = watchRestore(owner, plan, [...args, ...more], {
    env: { ...env, PIPE: join(folder, 'pipe') },
    detached: true,
    through: ['sh', '-c', `${set}${SCRIPTS[output] ?? 'exec "$@"'}`, 'sh'],
    nodeArgs: ['--import', `${PRELOAD}?file=${encodeURIComponent(block)}`],
  });
  const endOf = (end: WatchedEnd): StartedEnd => ({
    ...end,
    resultLost,
    ...(resultLost ? { document: readJson(report, parseDocument) } : {}),
    block: readJson(block, (text) => blockSchema.parse(JSON.parse(text))),
  });
  return { run, endOf, hangUp: async () => {} };
}

const PRELOAD = new URL('../../../test/helpers/longest-block.mjs', import.meta.url).href;

/** A pipe that is full, and that the shell's own descriptor keeps open without reading. */
const UNREAD = 'mkfifo "$PIPE"; exec 9<>"$PIPE"; head -c 65536 /dev/zero >"$PIPE"; exec "$@" 2>"$PIPE"';

const SCRIPTS: Readonly<Partial<Record<Drawn['output'], string>>> = {
  'result full': 'exec "$@" >/dev/full',
  'log full': 'exec "$@" 2>/dev/full',
  'log closed': 'exec "$@" 2>&-',
  'log unread': UNREAD,
};

/** Undefined when it was killed before it could write one. */
function readJson<T>(path: string, parse: (text: string) => T): T | undefined {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch {
    // Whether there ought to be one is for the judge to say.
    return undefined;
  }
}
