// A limit that the shell sets before the program starts, from generous to too little for a restore.
import { formatBytes, KiB } from '../../../src/units.ts';

export interface Limit {
  readonly kind: 'open files' | 'data';
  /** As ulimit takes it: descriptors, or KiB. */
  readonly value: number;
}

/** Node itself needs this much to start at all: less is a crash before the first line of the program. */
const LEAST: Readonly<Record<Limit['kind'], number>> = { 'open files': 22, data: 650_000 };
const MOST: Readonly<Record<Limit['kind'], number>> = { 'open files': 400, data: 4_000_000 };

export function drawLimit(random: () => number): Limit {
  const kind = random() < 0.6 ? 'open files' : 'data';
  const span = Math.log(MOST[kind] / LEAST[kind]);
  return { kind, value: Math.round(LEAST[kind] * Math.exp(random() * span)) };
}

/** The shell's command for it. */
export function limitCommand({ kind, value }: Limit): string {
  return `ulimit -${kind === 'data' ? 'd' : 'n'} ${value}; `;
}

/** Whether an error says which limit it was, and its number. */
export function namesLimit({ kind, value }: Limit, text: string): boolean {
  if (kind === 'data') return text.includes(`ulimit -d is ${formatBytes(value * KiB)}`);
  // Until the program is loaded nothing of it can look the number up.
  return text.includes(`the limit is ${value}`) || text.includes('the program cannot be loaded');
}
