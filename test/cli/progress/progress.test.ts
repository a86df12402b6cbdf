// Progress as text lines, JSON lines and live line: clock and stream are given, so every character is known.
import { stripVTControlCharacters } from 'node:util';
import { test } from 'tap';
import { jsonProgress } from '../../../src/cli/progress/json.ts';
import { liveProgress } from '../../../src/cli/progress/live.ts';
import { ProgressState } from '../../../src/cli/progress/state.ts';
import { textProgress } from '../../../src/cli/progress/text.ts';
import type { ProgressOptions, ProgressView } from '../../../src/cli/progress/view.ts';
import { liveLine } from '../../../src/cli/progress/words.ts';
import type { LogLevel } from '../../../src/cli/session/global-flags.ts';
import type { ProgressEvent } from '../../../src/progress.ts';
import { GiB, MiB } from '../../../src/units.ts';
import { RecordedStream } from '../../helpers/text-stream.ts';

const BEGAN = Date.UTC(2026, 0, 2, 3, 4, 5);

/** Events, each after some seconds: 1 GiB downloaded in 30 s at 40 MiB/s with a retry, then a short convert. */
const RUN: readonly (readonly [seconds: number, event: ProgressEvent])[] = [
  [0, { type: 'phase-started', phase: 'preflight' }],
  [1, { type: 'phase-finished', phase: 'preflight', seconds: 1 }],
  [
    1,
    { type: 'pvc-started', pvc: 'rootdisk', index: 1, count: 2, target: '/dev/sdx', layers: 3, virtualSize: 10 * GiB },
  ],
  [1, { type: 'phase-started', pvc: 'rootdisk', phase: 'download', total: GiB }],
  ...Array.from({ length: 25 }, (_, step): [number, ProgressEvent][] => [
    [2 + step, { type: 'fetched', pvc: 'rootdisk', count: 40 * MiB }],
    [2 + step, { type: 'bytes', pvc: 'rootdisk', phase: 'download', done: (step + 1) * 40 * MiB, total: GiB }],
  ]).flat(),
  [26.5, { type: 'retry', key: 'a/b.qcow2', offset: 1024, attempt: 1, waitMs: 250, reason: 'reset' }],
  [27, { type: 'bytes', pvc: 'rootdisk', phase: 'download', done: GiB, total: GiB }],
  [27, { type: 'phase-finished', pvc: 'rootdisk', phase: 'download', seconds: 26 }],
  [27, { type: 'phase-started', pvc: 'rootdisk', phase: 'convert', detail: 'body' }],
  [28, { type: 'warning', pvc: 'rootdisk', message: 'leaked clusters' }],
  [29, { type: 'phase-finished', pvc: 'rootdisk', phase: 'convert', seconds: 2 }],
  [29, { type: 'info', message: 'nearly there' }],
  [29, { type: 'pvc-finished', pvc: 'rootdisk', index: 1, count: 2, state: 'restored', verified: true, seconds: 28 }],
];

interface Played {
  readonly stream: RecordedStream;
  readonly lines: readonly string[];
}

function play(
  view: (options: ProgressOptions) => ProgressView,
  { level = 'info', phases = true }: { readonly level?: LogLevel; readonly phases?: boolean } = {},
  events = RUN,
  stream = new RecordedStream(),
): Played {
  let now = BEGAN;
  const progress = view({ stderr: stream, now: () => now, level, phases, colour: false });
  for (const [seconds, event] of events) {
    now = BEGAN + seconds * 1000;
    progress.report(event);
  }
  progress.close();
  return { stream, lines: stream.lines };
}

test('as text: a line when a phase begins, and of bytes one every ten seconds', async (t) => {
  t.strictSame(play(textProgress).lines, [
    'preflight',
    'rootdisk (1 of 2): 3 layers, 10.0 GiB, onto /dev/sdx',
    'rootdisk: download 1.00 GiB',
    'rootdisk: download 39 %, 400 MiB of 1.00 GiB, 40.0 MiB/s, 16 s left',
    'rootdisk: download 78 %, 800 MiB of 1.00 GiB, 40.0 MiB/s, 5.6 s left',
    'retry 1 of a/b.qcow2 at 1024 in 0.3 s: reset (1 so far)',
    'rootdisk: download took 26 s, 39.4 MiB/s',
    'rootdisk: convert (body)',
    'warning: rootdisk: leaked clusters',
    'nearly there',
    'rootdisk (1 of 2): restored after 28 s',
  ]);
});

test('--no-progress and --log-level take lines away', async (t) => {
  t.strictSame(play(textProgress, { phases: false }).lines, [
    'rootdisk (1 of 2): 3 layers, 10.0 GiB, onto /dev/sdx',
    'retry 1 of a/b.qcow2 at 1024 in 0.3 s: reset (1 so far)',
    'warning: rootdisk: leaked clusters',
    'nearly there',
    'rootdisk (1 of 2): restored after 28 s',
  ]);
  t.strictSame(play(textProgress, { level: 'warn' }).lines, ['warning: rootdisk: leaked clusters']);
  t.strictSame(play(textProgress, { level: 'error' }).lines, []);
  t.strictSame(play(jsonProgress, { level: 'error' }).lines, []);
});

test('many retries at once are one line each ten seconds, at debug all of them', async (t) => {
  const retries = Array.from({ length: 50 }, (_, step): [number, ProgressEvent] => [
    step / 5,
    { type: 'retry', key: 'a', offset: undefined, attempt: 1, waitMs: 1000, reason: '503' },
  ]);
  t.strictSame(play(textProgress, {}, retries).lines, ['retry 1 of a in 1.0 s: 503 (1 so far)']);
  t.equal(play(textProgress, { level: 'debug' }, retries).lines.length, 50);
});

test('as JSON: one object a line, with stable names', async (t) => {
  const lines = play(jsonProgress).lines.map((line): unknown => JSON.parse(line));
  const at = (seconds: number): string => new Date(BEGAN + seconds * 1000).toISOString();
  const pvc = 'rootdisk';
  const info = 'info';
  const bytes = { level: info, event: 'progress', pvc, phase: 'download', total: GiB, rate: 40 * MiB };
  t.strictSame(lines, [
    { time: at(0), level: info, event: 'phase-started', phase: 'preflight' },
    { time: at(1), level: info, event: 'phase-finished', phase: 'preflight', seconds: 1 },
    {
      time: at(1),
      level: info,
      event: 'pvc-started',
      pvc,
      index: 1,
      count: 2,
      target: '/dev/sdx',
      layers: 3,
      virtualSize: 10 * GiB,
    },
    { time: at(1), level: info, event: 'phase-started', pvc, phase: 'download', total: GiB },
    { time: at(11), ...bytes, bytes: 400 * MiB, secondsLeft: 16, fetched: 400 * MiB },
    { time: at(21), ...bytes, bytes: 800 * MiB, secondsLeft: 6, fetched: 800 * MiB },
    {
      time: at(26.5),
      level: info,
      event: 'retry',
      key: 'a/b.qcow2',
      offset: 1024,
      attempt: 1,
      waitSeconds: 0.25,
      reason: 'reset',
      retries: 1,
    },
    {
      time: at(27),
      level: info,
      event: 'phase-finished',
      pvc,
      phase: 'download',
      bytes: GiB,
      total: GiB,
      fetched: 1000 * MiB,
      seconds: 26,
    },
    { time: at(27), level: info, event: 'phase-started', pvc, phase: 'convert', detail: 'body' },
    { time: at(28), level: 'warn', event: 'warning', pvc, message: 'leaked clusters' },
    { time: at(29), level: info, event: 'phase-finished', pvc, phase: 'convert', fetched: 1000 * MiB, seconds: 2 },
    { time: at(29), level: info, event: 'info', message: 'nearly there' },
    {
      time: at(29),
      level: info,
      event: 'pvc-finished',
      pvc,
      index: 1,
      count: 2,
      state: 'restored',
      verified: true,
      seconds: 28,
    },
  ]);
});

/** The state after the events of RUN up to `seconds`. */
function stateAt(seconds: number): ProgressState {
  const state = new ProgressState();
  for (const [at, event] of RUN) if (at <= seconds) state.add(event, BEGAN + at * 1000);
  return state;
}

test('the live line fits any width, and what matters least goes first', async (t) => {
  const state = stateAt(26.5);
  const now = BEGAN + 26_500;
  const line = '[1/2] rootdisk download · 97 % · 1000 MiB of 1.00 GiB · 40.0 MiB/s · 1 retry';
  t.match(
    liveLine(state, now, 200),
    /^\[1\/2\] rootdisk download · 97 % · 1000 MiB of 1\.00 GiB · \d\d\.\d MiB\/s · 1 retry$/,
  );
  t.ok(line.length < 200);
  const early = stateAt(11);
  const at = BEGAN + 11_000;
  t.equal(liveLine(early, at, 80), '[1/2] rootdisk download · 39 % · 400 MiB of 1.00 GiB · 40.0 MiB/s · 16 s left');
  t.equal(liveLine(early, at, 76), '[1/2] rootdisk download · 39 % · 40.0 MiB/s · 16 s left');
  t.equal(liveLine(early, at, 50), 'rootdisk download · 39 % · 40.0 MiB/s · 16 s left');
  t.equal(liveLine(early, at, 40), 'rootdisk download · 39 % · 16 s left');
  t.equal(liveLine(early, at, 30), 'rootdisk download · 39 %');
  t.equal(liveLine(early, at, 20), 'rootdisk download');
  t.equal(liveLine(early, at, 10), 'rootdisk …');
  t.equal(liveLine(early, at, 0), '…');
});

test('a stall shows: the rate falls, the time left is not guessed', async (t) => {
  const state = stateAt(11);
  t.match(liveLine(state, BEGAN + 14_000, 80), /28\.0 MiB\/s · 22 s left/);
  t.match(liveLine(state, BEGAN + 60_000, 80), /400 MiB of 1\.00 GiB · 0 B\/s$/);
});

test('a phase without bytes shows how long it has been going', async (t) => {
  const state = stateAt(27);
  state.finish({ pvc: 'rootdisk', phase: 'download' });
  t.equal(liveLine(state, BEGAN + 39_000, 80), '[1/2] rootdisk convert · body · 12 s · 1 retry');
  state.finish({ pvc: 'rootdisk', phase: 'convert' });
  t.equal(liveLine(state, BEGAN, 80), '[1/2] rootdisk', 'between two phases');
  t.equal(liveLine(new ProgressState(), BEGAN, 80), '…', 'before the first');
});

test('on a terminal: one line that is drawn again, and lines above it for what stays', async (t) => {
  const stream = new RecordedStream({ isTTY: true, columns: 60 });
  play(liveProgress, {}, RUN, stream);
  const seen = stripVTControlCharacters(stream.text).split('\n');
  const stays = seen.filter((line) => /^(warning|nearly|rootdisk \()/.test(line));
  t.strictSame(stays, [
    'rootdisk (1 of 2): 3 layers, 10.0 GiB, onto /dev/sdx',
    'warning: rootdisk: leaked clusters',
    'nearly there',
    'rootdisk (1 of 2): restored after 28 s',
  ]);
  t.ok(
    seen.every((line) => line.length < 60),
    'no line wraps',
  );
  t.notOk(
    seen.some((line) => line.includes('retry 1 of')),
    'retries are counted, not listed',
  );
  t.ok(stream.text.endsWith('\u001B[?25h'), 'the cursor is back');
});

test('a PVC that is kept: whether this run compared it, and who restored it', async (t) => {
  const keptFrom = { runId: 'a1b2', finishedAt: '2026-01-01T00:00:00.000Z' };
  const end = { type: 'pvc-finished', pvc: 'rootdisk', index: 1, count: 2, state: 'kept', seconds: 1 } as const;
  const events: [number, ProgressEvent][] = [
    [0, { ...end, verified: false, keptFrom }],
    [1, { ...end, verified: true, keptFrom }],
  ];
  t.strictSame(play(textProgress, {}, events).lines, [
    'rootdisk (1 of 2): kept (not compared) after 1.0 s',
    'rootdisk (1 of 2): kept (compared) after 1.0 s',
  ]);
  const lines = play(jsonProgress, {}, events).lines.map((line): unknown => JSON.parse(line));
  t.match(lines, [
    { event: 'pvc-finished', state: 'kept', verified: false, keptFrom },
    { event: 'pvc-finished', state: 'kept', verified: true, keptFrom },
  ]);
});

test('the mean rate of a download that was resumed counts what this run fetched alone', async (t) => {
  const download = { pvc: 'rootdisk', phase: 'download' } as const;
  const events: [number, ProgressEvent][] = [
    [0, { type: 'phase-started', ...download, total: GiB }],
    [0, { type: 'bytes', ...download, done: 824 * MiB, total: GiB }],
    [20, { type: 'fetched', pvc: 'rootdisk', count: 200 * MiB }],
    [20, { type: 'bytes', ...download, done: GiB, total: GiB }],
    [20, { type: 'phase-finished', ...download, seconds: 20 }],
  ];
  t.equal(play(textProgress, {}, events).lines.at(-1), 'rootdisk: download took 20 s, 10.0 MiB/s');
});
