// The live line on real terminals: without a size, resized in the middle, stopped, not read. Nothing that draws may block.
import { existsSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { type Test, test } from 'tap';
import { fixturePlan } from '../../helpers/fixture.ts';
import { HELD_IN_TERMINAL_TOOLS, type HeldInTerminal, heldInTerminal } from '../../helpers/held-in-terminal.ts';
import { requires } from '../../helpers/requires.ts';
import { startInTerminal, TERMINAL_TOOLS } from '../../helpers/terminal.ts';

async function endsWell(t: Test, { run, plan }: Pick<HeldInTerminal, 'run' | 'plan'>): Promise<string> {
  const { exitCode, screen, stdout } = await run.end;
  t.equal(exitCode, 0);
  t.match(stdout, /2 of 2 PVCs restored/);
  t.strictSame(plan.targets(), { rootdisk: 'restored', datadisk: 'restored' });
  return screen;
}

const MOVES_UP = '\u001B[1A';
const HIDE_CURSOR = '\u001B[?25l';
const SHOW_CURSOR = '\u001B[?25h';
const CTRL_S = '\u0013';
/** Another process of the session writes to the terminal all the time. */
const BESIDE_A_FLOOD = ['sh', '-c', 'yes >&2 & exec "$@"', 'sh'];
const DRAWS = /[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]/;

test('a terminal with a size: a live line, and the cursor is shown again', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  const held = await heldInTerminal(t);
  held.gate.open();
  const screen = await endsWell(t, held);
  t.match(screen, DRAWS);
  t.ok(screen.lastIndexOf(SHOW_CURSOR) > screen.lastIndexOf(HIDE_CURSOR), 'the cursor is back');
});

test('a terminal without a size, or too narrow: lines of text, no live line', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  for (const [columns, rows] of [
    [0, 0],
    [0, 30],
    [100, 0],
    [8, 30],
  ] as const) {
    const held = await heldInTerminal(t, { columns, rows });
    held.gate.open();
    const screen = await endsWell(t, held);
    t.notMatch(screen, DRAWS, `${columns} × ${rows}`);
    t.equal(stripVTControlCharacters(screen), screen, 'nothing but text');
    t.match(screen, /datadisk: convert/);
  }
});

test('help for a terminal without a size is as wide as for a pipe', async (t) => {
  if (!requires(t, ...TERMINAL_TOOLS)) return;
  const sized = await startInTerminal(t, ['restore', '--help'], { columns: 100 }).end;
  const unsized = await startInTerminal(t, ['restore', '--help'], { columns: 0, rows: 0 }).end;
  t.equal(unsized.exitCode, 0);
  t.equal(unsized.screen, sized.screen);
});

test('resized to 0 × 0 in the middle: the line disappears, comes back with a size, and signals are handled', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  const held = await heldInTerminal(t);
  const { run, gate } = held;
  await run.until((screen) => DRAWS.test(screen));
  await run.resize(0, 0);
  await run.until((screen) => screen.endsWith(SHOW_CURSOR));
  await run.resize(100, 30);
  await run.until((screen) => /convert/.test(screen.slice(screen.lastIndexOf(HIDE_CURSOR))));
  await run.resize(0, 0);
  await run.signal('SIGTERM');
  gate.open();
  const { exitCode, screen } = await run.end;
  t.equal(exitCode, 143);
  t.match(screen, /SIGTERM received, stopping/);
  t.ok(screen.split(MOVES_UP).length < 100, 'no walk up an endless screen');
});

test('a terminal that is stopped with Ctrl-S: the restore continues and ends, its disks complete', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  const held = await heldInTerminal(t);
  await held.run.type(CTRL_S);
  held.gate.open();
  t.notMatch(await endsWell(t, held), /datadisk \(2 of 2\): restored/, 'it was stopped');
});

test('a terminal that no process reads, while another one waits to write to it: the restore continues', async (t) => {
  if (!requires(t, ...TERMINAL_TOOLS)) return;
  const plan = fixturePlan(t);
  const run = startInTerminal(t, ['restore', plan.path], { on: ['stdin', 'stderr'], through: BESIDE_A_FLOOD });
  await run.pause();
  await endsWell(t, { run, plan });
});

test('signals on a stopped terminal: the first stops gracefully, a second one at once', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  const first = await heldInTerminal(t);
  await first.run.type(CTRL_S);
  await first.run.signal('SIGTERM');
  t.equal((await first.run.end).exitCode, 143);
  t.equal(existsSync(first.plan.scratch), true, 'it can be resumed');
  const second = await heldInTerminal(t);
  await second.run.type(CTRL_S);
  await second.run.signal('SIGINT');
  await second.run.signal('SIGINT');
  t.equal((await second.run.end).exitCode, 130);
});

test('a second signal ends it at once, and the cursor is shown', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  const { run } = await heldInTerminal(t);
  await run.until((screen) => DRAWS.test(screen));
  await run.signal('SIGINT');
  await run.signal('SIGINT');
  const { exitCode, screen } = await run.end;
  t.equal(exitCode, 130);
  t.ok(screen.lastIndexOf(SHOW_CURSOR) > screen.lastIndexOf(HIDE_CURSOR), 'the cursor is back');
});
