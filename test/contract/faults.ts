// Faults of the network and of the server between a store and its service, for every store that is read by GETs alone: recovered with the
// right bytes, or the right code.
import { type Test, test } from 'tap';
import type { ErrorCode } from '../../src/errors.ts';
import type { RetryEvent } from '../../src/progress.ts';
import type { RetryPolicy } from '../../src/store/retry/policy.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { HARMLESS, HOPELESS, LENGTH, MENDED, OBJECT, OFFSET, SIZE } from '../helpers/fault-lists.ts';
import type { Fault, Peer, PeerRequest } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { QUICK } from '../helpers/s3-peer.ts';
import { listed, readAll, rejectsWith } from './store.ts';

const signal = new AbortController().signal;

interface BehindPeer {
  readonly peer: Peer;
  readonly store: ObjectStore;
  readonly retries: RetryEvent[];
}

export interface FaultContract {
  readonly tools: readonly string[];
  /** A store with these objects, seen through a peer. */
  readonly behindPeer: (
    t: Test,
    objects: Readonly<Record<string, Uint8Array>>,
    policy?: RetryPolicy,
  ) => Promise<BehindPeer>;
  /** Faults that pass, beside those that every store knows. */
  readonly passing: readonly Fault[];
  /** The service's name for a 503. */
  readonly busy: string;
  readonly final: readonly (readonly [Fault, ErrorCode])[];
  /** What no message may contain. */
  readonly secret: RegExp;
}

/** The read, not what asks for size and version before it. */
const isPart = ({ range }: PeerRequest): boolean => range !== undefined && range.last > 0;

async function readPart({ store }: BehindPeer): Promise<Buffer> {
  const { etag, size } = await store.head('object', { signal });
  return await readAll(store, 'object', { offset: OFFSET, length: LENGTH, etag, size, signal });
}

export function faultContract({ tools, behindPeer, passing, busy, final, secret }: FaultContract): void {
  test('faults that pass', async (t) => {
    if (!requires(t, ...tools)) return;
    const behind = await behindPeer(t, { object: OBJECT }, { ...QUICK, stallMs: 300 });
    for (const fault of [...MENDED, ...passing]) {
      behind.retries.length = 0;
      let left = 2;
      behind.peer.plan = (request) => {
        if (!isPart(request) || left === 0) return undefined;
        left -= 1;
        return fault;
      };
      const bytes = await readPart(behind);
      t.ok(bytes.equals(OBJECT.subarray(OFFSET, OFFSET + LENGTH)), JSON.stringify(fault));
      t.equal(left, 0, 'it happened twice');
      t.ok(behind.retries.length >= 1, behind.retries[0]?.reason ?? 'no retry');
    }
  });

  test('faults of listings and documents pass too', async (t) => {
    if (!requires(t, ...tools)) return;
    const behind = await behindPeer(t, { object: OBJECT }, { ...QUICK, stallMs: 300 });
    const faults: readonly Fault[] = [
      { kind: 'reset' },
      { kind: 'cut', after: 100 },
      { kind: 'stall', after: 100 },
      { kind: 'status', status: 503, code: busy },
      { kind: 'page' },
      { kind: 'garbage' },
    ];
    for (const fault of faults) {
      let left = 2;
      behind.peer.plan = () => (left-- > 0 ? fault : undefined);
      t.same(await listed(behind.store, ''), [{ kind: 'object', key: 'object', size: SIZE }], JSON.stringify(fault));
      left = 2;
      t.ok(
        OBJECT.equals(await behind.store.get('object', { maxBytes: SIZE, signal })),
        `get: ${JSON.stringify(fault)}`,
      );
    }
  });

  test('oddities that are no faults', async (t) => {
    if (!requires(t, ...tools)) return;
    const behind = await behindPeer(t, { object: OBJECT });
    for (const fault of HARMLESS) {
      behind.peer.plan = (request) => (isPart(request) ? fault : undefined);
      const bytes = await readPart(behind);
      t.ok(bytes.equals(OBJECT.subarray(OFFSET, OFFSET + LENGTH)), JSON.stringify(fault));
      t.same(behind.retries, [], 'no retry');
    }
  });

  test('what cannot succeed is not tried again', async (t) => {
    if (!requires(t, ...tools)) return;
    const behind = await behindPeer(t, { object: OBJECT });
    await readPart(behind);
    for (const [fault, code] of final) {
      const before = behind.peer.count('GET');
      behind.peer.plan = (request) => (isPart(request) ? fault : undefined);
      const error = await rejectsWith(t, code, () => readPart(behind), JSON.stringify(fault));
      t.equal(behind.peer.count('GET') - before, 2, 'size and version, and one read');
      t.same(behind.retries, []);
      t.notMatch(error.message, secret);
    }
  });

  test('what is never believed is tried six times', async (t) => {
    if (!requires(t, ...tools)) return;
    const behind = await behindPeer(t, { object: OBJECT });
    for (const [fault, why] of HOPELESS) {
      behind.retries.length = 0;
      behind.peer.plan = (request) => (isPart(request) ? fault : undefined);
      const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => readPart(behind), JSON.stringify(fault));
      t.match(error.message, why);
      t.equal(behind.retries.length, 5);
    }
  });
}
