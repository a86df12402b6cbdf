// Work beside other work: whichever fails, both have ended when it settles.
import { test } from 'tap';
import { beside } from '../src/concurrency.ts';

const { signal } = new AbortController();

/** Runs until it is aborted, and ends a turn later. */
async function untilAborted(inner: AbortSignal, ended: () => void): Promise<never> {
  await new Promise((resolve) => inner.addEventListener('abort', resolve, { once: true }));
  await new Promise((resolve) => setImmediate(resolve));
  ended();
  throw inner.reason;
}

test('work may wait for what runs beside it', async (t) => {
  t.equal(
    await beside(
      signal,
      async () => 'asked',
      async (other) => `${await other} and used`,
    ),
    'asked and used',
  );
});

test('what runs beside it fails: only who waits for it hears of that', async (t) => {
  const fails = async (): Promise<never> => {
    throw new Error('no tool');
  };
  t.equal(await beside(signal, fails, async () => 'not asked for'), 'not asked for');
  await t.rejects(
    beside(signal, fails, (other) => other),
    { message: 'no tool' },
  );
});

test('work that fails, or does not wait, ends what runs beside it first', async (t) => {
  let ended = 0;
  const count = (): void => {
    ended += 1;
  };
  const other = (inner: AbortSignal): Promise<never> => untilAborted(inner, count);
  const fail = async (): Promise<never> => {
    throw new Error('the plan');
  };
  await t.rejects(beside(signal, other, fail), { message: 'the plan' });
  t.equal(ended, 1);
  t.equal(await beside(signal, other, async () => 'done'), 'done');
  t.equal(ended, 2);
});

test('an abort reaches what runs beside it', async (t) => {
  const caller = new AbortController();
  const running = beside(
    caller.signal,
    (inner) => untilAborted(inner, () => {}),
    (other) => other,
  );
  caller.abort(new Error('cancelled'));
  await t.rejects(running, { message: 'cancelled' });
});
