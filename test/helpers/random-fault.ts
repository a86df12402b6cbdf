// Any fault of the peer's, drawn at random: for runs by seed.
import type { Fault, PeerPlan } from './peer.ts';

/** A plan under which `rate` of the requests go wrong in one of `kinds` ways (all that may pass, if none are named). */
export function randomFaults(rate: number, kinds: readonly Fault['kind'][] = PASSING): PeerPlan {
  return ({ random, range }) => {
    if (random() >= rate) return undefined;
    const length = range === undefined ? 100 : range.last - range.first + 1;
    const kind = kinds[Math.floor(random() * kinds.length)];
    return kind === undefined ? undefined : draw(kind, random, length);
  };
}

const PASSING: readonly Fault['kind'][] = [
  'reset',
  'cut',
  'stall',
  'delay',
  'status',
  'page',
  'garbage',
  'short',
  'long',
  'unframed',
  'chunked',
  'ignore-range',
  'shift',
  'no-etag',
];

function draw(kind: Fault['kind'], random: () => number, length: number): Fault {
  const some = (most: number): number => 1 + Math.floor(random() * most);
  switch (kind) {
    case 'reset':
    case 'cut':
    case 'stall':
      return random() < 0.3 ? { kind } : { kind, after: some(length) - 1 };
    case 'unframed':
      return { kind, after: some(length) - 1 };
    case 'hold':
      return { kind, until: Promise.resolve() };
    case 'delay':
      return { kind, ms: some(30) };
    case 'throttle':
      return { kind, bytesPerSecond: 100_000 + some(10_000_000) };
    case 'status':
      return drawStatus(random);
    case 'short':
      return { kind, bytes: some(length) };
    case 'long':
    case 'shift':
      return { kind, bytes: some(100_000) };
    case 'total':
      return { kind, total: some(1_000_000) };
    case 'headers':
      return { kind, add: { 'x-drawn': String(some(1000)) } };
    default:
      return { kind };
  }
}

function drawStatus(random: () => number): Fault {
  const status = [500, 502, 503, 504, 429][Math.floor(random() * 5)] ?? 500;
  return {
    kind: 'status',
    status,
    ...(status === 503 ? { code: 'SlowDown' } : {}),
    ...(random() < 0.3 ? { retryAfter: 0 } : {}),
  };
}
