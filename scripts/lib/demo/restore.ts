// Runs the real program on the demo's plan, and tells each phase, as its log reports it, in plain words.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { formatBytes, formatDuration } from '../../../src/units.ts';

export interface RestoreOptions {
  /** bin/kubevirt-datamover */
  readonly program: string;
  readonly say: (line: string) => void;
  /** When aborted, the program is asked to end, and has ended when this rejects. */
  readonly signal: AbortSignal;
}

/** What a newcomer should know of each phase. */
const WORDS: ReadonlyMap<string, string> = new Map([
  [
    'preflight',
    'checks that all objects exist, are intact and safe, and that the targets fit, before anything is written',
  ],
  ['download', 'downloads the layers from the bucket to the scratch directory'],
  ['checksum', 'compares their checksums'],
  ['rebase', 'records in each layer which one it builds on; the backup stores them without that'],
  ['check-image', 'qemu-img checks each layer for damage'],
  ['flatten', 'converts the chain to one raw image in scratch'],
  ['convert', 'reads the chain through its last layer and writes it to the target'],
  ['finalize', 'flushes the target, then makes it usable: writes the first sectors of a device, renames a file'],
  ['verify', 'reads the target again and compares it with the chain'],
]);

const LINE = z.looseObject({
  event: z.string(),
  pvc: z.string().optional(),
  phase: z.string().optional(),
  bytes: z.number().optional(),
  seconds: z.number().optional(),
  message: z.string().optional(),
  hint: z.string().optional(),
  target: z.string().optional(),
  layers: z.number().optional(),
  virtualSize: z.number().optional(),
});

/** Restores; rejects with the program's own words when it exits other than 0. */
export async function restorePlan(plan: string, { program, say, signal }: RestoreOptions): Promise<void> {
  signal.throwIfAborted();
  const args = ['restore', plan, '--verify', 'compare', '--output', 'json', '--log-format', 'json'];
  // In a group of its own, so that Ctrl-C reaches it once, through us; and it does not outlive us.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', program, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', end);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  const printed = text(child.stdout);
  const unread: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => {
    const told = describe(line);
    if (told === undefined) unread.push(line);
    else if (told !== '' && !signal.aborted) say(told);
  });
  try {
    const status = await ended;
    signal.throwIfAborted();
    // Its own document says nothing that the log has not said.
    await printed;
    if (status !== 0) throw new Error([`the restore exited with status ${status}`, ...unread].join('\n'));
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** A log line in plain words; '' for one that newcomers need not see, undefined for one that is no log line. */
function describe(line: string): string | undefined {
  const event = readEvent(line);
  if (event === undefined) return undefined;
  if (event.event === 'pvc-started') {
    return `${event.pvc}: ${event.layers} layers, ${formatBytes(event.virtualSize ?? 0)}, onto ${event.target}`;
  }
  if (event.event === 'phase-finished' && event.phase !== undefined) return describePhase(event.phase, event);
  if (event.event === 'warning' || event.event === 'error') {
    return `${event.event}: ${event.message}${event.hint ? `\nhint: ${event.hint}` : ''}`;
  }
  return '';
}

function describePhase(phase: string, { bytes, seconds = 0 }: z.infer<typeof LINE>): string {
  const amount = bytes === undefined ? '' : formatBytes(bytes);
  const figures = `${phase.padEnd(9)} ${formatDuration(seconds).padStart(6)}  ${amount.padStart(9)}`;
  return `  ${figures}  ${WORDS.get(phase) ?? ''}`.trimEnd();
}

function readEvent(line: string): z.infer<typeof LINE> | undefined {
  try {
    return LINE.safeParse(JSON.parse(line)).data;
  } catch {
    // Not JSON: it is kept as it is, and shown if the program fails.
    return undefined;
  }
}
