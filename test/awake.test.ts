// Time during which a process did not run counts towards no time limit: a real process is stopped in the middle of its waits.
import { type Test, test } from 'tap';
import { AwakeTimer, asleepMs, awakeNow } from '../src/awake.ts';
import { startPeer } from './helpers/peer.ts';
import { requires } from './helpers/requires.ts';
import { RGW_TOOLS, startRgw } from './helpers/rgw.ts';
import { silentServer } from './helpers/silent-server.ts';
import { STOP_MS, startWaiting, stopFor } from './helpers/stopped.ts';

/** A time limit that is over long before the stop is. */
const LIMIT_MS = 1_000;

test('time is awake or asleep', async (t) => {
  const [real, awake, asleep] = [performance.now(), awakeNow(), asleepMs()];
  await new Promise<void>((resolve) => new AwakeTimer(50, resolve));
  t.ok(awakeNow() - awake >= 49);
  // On a machine that is busy enough some of it may be a gap.
  t.ok(performance.now() - real - (awakeNow() - awake) - (asleepMs() - asleep) < 1_000);
});

test('a timer that is cleared', async (t) => {
  const cleared = new AwakeTimer(10, () => t.fail('it fires'));
  cleared.clear();
  await new Promise<void>((resolve) => new AwakeTimer(50, resolve));
});

test('a time limit starts over after a stop', async (t) => {
  const { child, end } = await startWaiting(t, 'timer', { ms: LIMIT_MS });
  await stopFor(child);
  const { realMs, awakeMs, asleepMs } = await end;
  t.ok(asleepMs >= STOP_MS - 1_000, `${asleepMs} ms of it asleep`);
  t.ok(realMs >= STOP_MS + LIMIT_MS - 10, `${realMs} ms in all`);
  t.ok(awakeMs >= LIMIT_MS - 10 && awakeMs < realMs - STOP_MS / 2, `${awakeMs} ms of it awake`);
});

test('the time limit of a tool does not run while we are stopped', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv')) return;
  const server = await silentServer(t);
  const client = server.nextClient();
  const { child, end } = await startWaiting(t, 'tool', { ms: LIMIT_MS, socket: server.path });
  await client;
  await stopFor(child);
  const { realMs, error } = await end;
  t.match(error, 'timed out after 1.0 s');
  t.ok(realMs >= STOP_MS + LIMIT_MS - 10, `${realMs} ms`);
});

/** The first request is not answered until the program has been stopped; then `answer` decides. */
async function readWhileStopped(
  t: Test,
  { policy, answer, head = false }: { policy: unknown; answer: 'passes' | 'is reset'; head?: boolean },
): Promise<string[]> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', 'content');
  const asked = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  peer.plan = ({ index }) => {
    asked.resolve();
    return index === 1
      ? { kind: 'hold', until: stopped.promise, ...(answer === 'passes' ? {} : { reset: true }) }
      : undefined;
  };
  const { child, end } = await startWaiting(t, 'read', { bucket, endpoint: peer.endpoint, policy, head }, rgw.env);
  await asked.promise;
  await stopFor(child, stopped.resolve);
  const { error, value } = await end;
  t.equal(error, undefined);
  t.match(value, { bytes: 'content' });
  return (value as { tried: string[] }).tried;
}

test('an answer that came while we were stopped is taken', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { stallMs: LIMIT_MS, silentMs: 20_000, unansweredMs: 20_000 };
  for (const head of [false, true]) {
    const tried = await readWhileStopped(t, { policy, answer: 'passes', head });
    t.strictSame(tried, [], `${head ? 'HEAD' : 'GET'}: without another attempt`);
  }
});

test('a stop does not use up the patience with a source', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const policy = { stallMs: LIMIT_MS, silentMs: STOP_MS / 2, unansweredMs: STOP_MS / 2 };
  const tried = await readWhileStopped(t, { policy, answer: 'is reset' });
  t.equal(tried.length, 1, 'there is another attempt');
  t.match(tried[0], /ECONNRESET/);
});
