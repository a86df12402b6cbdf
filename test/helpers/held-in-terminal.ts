// A restore of the fixture on a real terminal, held in the middle of its second disk's convert.
import type { Test } from 'tap';
import { type FixturePlan, fixturePlan } from './fixture.ts';
import { type Gate, gateBefore } from './gate.ts';
import { type InTerminal, startInTerminal, TERMINAL_TOOLS, type TerminalOptions } from './terminal.ts';

/** What `requires` must find before `heldInTerminal`. */
export const HELD_IN_TERMINAL_TOOLS = [...TERMINAL_TOOLS, 'mkfifo', 'qemu-img'] as const;

export interface HeldInTerminal {
  readonly run: InTerminal;
  readonly plan: FixturePlan;
  /** Lets it go on. */
  readonly gate: Pick<Gate, 'open'>;
}

export interface HeldOptions extends TerminalOptions {
  readonly plan?: FixturePlan;
  readonly args?: readonly string[];
}

export async function heldInTerminal(
  t: Test,
  { plan = fixturePlan(t), args = [], ...options }: HeldOptions = {},
): Promise<HeldInTerminal> {
  const gate = gateBefore(t, '^convert.*(datadisk|/dev/loop)');
  const on = ['stdin', 'stderr'] as const;
  const run = startInTerminal(t, ['restore', plan.path, ...args], { on, ...options, env: gate.env });
  await gate.reachedBefore(run.end.then(({ screen, stderr }) => ({ stderr: screen + stderr })));
  return { run, plan, gate };
}
