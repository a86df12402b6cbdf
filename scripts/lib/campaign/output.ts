// One start of the program with its output as drawn: on a full device, closed, never read, on a terminal.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from '../../../test/helpers/restore.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import {
  type WatchedEnd,
  type WatchedRestore,
  watchRestore,
  watchRestoreInTerminal,
} from '../../../test/helpers/watched-restore.ts';
import type { Drawn } from './draw.ts';

export interface Started {
  readonly run: WatchedRestore;
  /** The end, with the document from where it can be read. */
  endOf(end: WatchedEnd): WatchedEnd & { readonly resultLost: boolean };
  hangUp(): Promise<void>;
}

export interface StartOptions {
  readonly plan: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly output: Drawn['output'];
  /** Whether this start is on a terminal that will be hung up. */
  readonly hangsUp: boolean;
}

export function startWith(owner: Owner, { plan, args, env, output, hangsUp }: StartOptions): Started {
  const resultLost = output === 'result full';
  const endOf: Started['endOf'] = (end) => ({ ...end, resultLost });
  if (hangsUp) {
    const { hangUp, ...run } = watchRestoreInTerminal(owner, plan, args, env);
    return { run, endOf, hangUp };
  }
  const folder = tempFolder(owner);
  const script = SCRIPTS[output];
  const through = script === undefined ? [] : ['sh', '-c', script, 'sh'];
  const report = join(folder, 'report.json');
  const more = resultLost ? ['--report', report] : [];
  const run = watchRestore(owner, plan, [...args, ...more], {
    env: { ...env, PIPE: join(folder, 'pipe') },
    detached: true,
    through,
  });
  const withReport: Started['endOf'] = (end) => ({ ...end, resultLost, document: readReport(report) });
  return { run, endOf: resultLost ? withReport : endOf, hangUp: async () => {} };
}

/** A pipe that is full, and that the shell's own descriptor keeps open without reading. */
const UNREAD = 'mkfifo "$PIPE"; exec 9<>"$PIPE"; head -c 65536 /dev/zero >"$PIPE"; exec "$@" 2>"$PIPE"';

const SCRIPTS: Readonly<Partial<Record<Drawn['output'], string>>> = {
  'result full': 'exec "$@" >/dev/full',
  'log full': 'exec "$@" 2>/dev/full',
  'log closed': 'exec "$@" 2>&-',
  'log unread': UNREAD,
};

/** Undefined when it was killed before it could write one. */
function readReport(path: string): WatchedEnd['document'] {
  try {
    return parseDocument(readFileSync(path, 'utf8'));
  } catch {
    // Whether there ought to be one is for the judge to say.
    return undefined;
  }
}
