// Faults of the network and of servers that every store must survive in the same way, and the read that they happen to.
import { patternedBytes } from '../contract/store.ts';
import type { Fault } from './peer.ts';

export const SIZE = 400_000;
export const OBJECT = patternedBytes(SIZE);
export const OFFSET = 1000;
export const LENGTH = 300_000;

export const MENDED: readonly Fault[] = [
  { kind: 'reset' },
  { kind: 'reset', after: 70_000 },
  { kind: 'cut' },
  { kind: 'cut', after: 0 },
  { kind: 'cut', after: 70_000 },
  { kind: 'stall' },
  { kind: 'stall', after: 0 },
  { kind: 'stall', after: 70_000 },
  { kind: 'status', status: 500 },
  { kind: 'status', status: 502 },
  { kind: 'status', status: 503 },
  { kind: 'status', status: 503, code: 'SlowDown' },
  { kind: 'status', status: 504 },
  { kind: 'status', status: 429, code: 'TooManyRequests' },
  { kind: 'page' },
  { kind: 'garbage' },
  { kind: 'short', bytes: 1 },
  { kind: 'short', bytes: 200_000 },
  { kind: 'long', bytes: 1 },
  { kind: 'long', bytes: 200_000 },
  { kind: 'chunked', extra: 1 },
  { kind: 'chunked', extra: 100_000 },
  // A gateway whose backend restarts.
  { kind: 'status', status: 404, page: true },
  { kind: 'unframed', after: 70_000 },
  { kind: 'ignore-range' },
  { kind: 'shift', bytes: 1 },
  { kind: 'no-etag' },
];

export const HARMLESS: readonly Fault[] = [
  { kind: 'delay', ms: 50 },
  { kind: 'throttle', bytesPerSecond: 1_000_000 },
  { kind: 'unframed' },
  { kind: 'chunked' },
];

/** What is never believed, and not tried for ever either. */
export const HOPELESS: readonly [Fault, RegExp][] = [
  [{ kind: 'ignore-range' }, /ignored Range/],
  [{ kind: 'shift', bytes: 1 }, /sent bytes 1001-301000 instead of 1000-300999/],
  [{ kind: 'short', bytes: 1 }, /299999 bytes instead of 300000/],
  [{ kind: 'long', bytes: 1 }, /300001 bytes instead of 300000/],
  [{ kind: 'chunked', extra: 1 }, /more bytes received than requested/],
  [{ kind: 'no-etag' }, /no ETag/],
  [{ kind: 'page' }, /sent a web page/],
  [{ kind: 'garbage' }, /something other than HTTP/],
];
