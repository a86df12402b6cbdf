// Every fault of the network and the server between the store of Google Cloud Storage and the translator: recovered with the right bytes, or
// the right code.
import { test } from 'tap';
import type { ErrorCode } from '../../../src/errors.ts';
import { listed, readAll, rejectsWith, storeContract } from '../../contract/store.ts';
import { HARMLESS, HOPELESS, LENGTH, MENDED, OBJECT, OFFSET, SIZE } from '../../helpers/fault-lists.ts';
import { type GcsBehindPeer, gcsBehindPeer } from '../../helpers/gcs-peer.ts';
import type { Fault, PeerRequest } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';
import { QUICK } from '../../helpers/s3-peer.ts';

const signal = new AbortController().signal;

const FINAL: readonly [Fault, ErrorCode][] = [
  [{ kind: 'swap' }, 'OBJECT_CHANGED'],
  [{ kind: 'total', total: 5 }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 416, code: 'InvalidRange' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 412, code: 'PreconditionFailed' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 404, code: 'NoSuchKey' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 404, code: 'NoSuchBucket' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 403, code: 'AccessDenied' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 400, code: 'ResourceIsEncryptedWithCustomerEncryptionKey' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 400, code: 'UserProjectMissing' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 403, page: true }, 'SOURCE_UNREACHABLE'],
  [{ kind: 'status', status: 407, page: true }, 'SOURCE_UNREACHABLE'],
];

/** The read, not what asks for size and version before it. */
const isPart = ({ range }: PeerRequest): boolean => range !== undefined && range.last > 0;

async function readPart({ store }: GcsBehindPeer): Promise<Buffer> {
  const { etag, size } = await store.head('object', { signal });
  return await readAll(store, 'object', { offset: OFFSET, length: LENGTH, etag, size, signal });
}

test('faults that pass', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await gcsBehindPeer(t, { object: OBJECT }, { ...QUICK, stallMs: 300 });
  for (const fault of MENDED) {
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
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await gcsBehindPeer(t, { object: OBJECT }, { ...QUICK, stallMs: 300 });
  const faults: readonly Fault[] = [
    { kind: 'reset' },
    { kind: 'cut', after: 100 },
    { kind: 'stall', after: 100 },
    { kind: 'status', status: 503, code: 'ServiceUnavailable' },
    { kind: 'page' },
    { kind: 'garbage' },
  ];
  for (const fault of faults) {
    let left = 2;
    behind.peer.plan = () => (left-- > 0 ? fault : undefined);
    t.same(await listed(behind.store, ''), [{ kind: 'object', key: 'object', size: SIZE }], JSON.stringify(fault));
    left = 2;
    t.ok(OBJECT.equals(await behind.store.get('object', { maxBytes: SIZE, signal })), `get: ${JSON.stringify(fault)}`);
  }
});

test('oddities that are no faults', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await gcsBehindPeer(t, { object: OBJECT });
  for (const fault of HARMLESS) {
    behind.peer.plan = (request) => (isPart(request) ? fault : undefined);
    const bytes = await readPart(behind);
    t.ok(bytes.equals(OBJECT.subarray(OFFSET, OFFSET + LENGTH)), JSON.stringify(fault));
    t.same(behind.retries, [], 'no retry');
  }
});

test('what cannot succeed is not tried again', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await gcsBehindPeer(t, { object: OBJECT });
  await readPart(behind);
  for (const [fault, code] of FINAL) {
    const before = behind.peer.count('GET');
    behind.peer.plan = (request) => (isPart(request) ? fault : undefined);
    const error = await rejectsWith(t, code, () => readPart(behind), JSON.stringify(fault));
    t.equal(behind.peer.count('GET') - before, 2, 'size and version, and one read');
    t.same(behind.retries, []);
    t.notMatch(error.message, /<|Bearer|ya29/);
  }
});

test('what is never believed is tried six times', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await gcsBehindPeer(t, { object: OBJECT });
  for (const [fault, why] of HOPELESS) {
    behind.retries.length = 0;
    behind.peer.plan = (request) => (isPart(request) ? fault : undefined);
    const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => readPart(behind), JSON.stringify(fault));
    t.match(error.message, why);
    t.equal(behind.retries.length, 5);
  }
});

test('the contract, behind a peer that cuts bodies', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  await storeContract(t, 'gcs', async (t) => {
    const { gcs, bucket, peer, store } = await gcsBehindPeer(t, {});
    return {
      store,
      put: (key, bytes) => gcs.rgw.put(bucket, key, bytes),
      remove: (key) => gcs.rgw.remove(bucket, key),
      cutBodies: (after) => {
        peer.plan = () => (after === undefined ? undefined : { kind: 'cut', after });
      },
    };
  });
});
