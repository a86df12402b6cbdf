// Size, version and first bytes of an object by one GET, in every dialect; and by HEAD and a pinned read where one answer is not enough.
import { type Test, test } from 'tap';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { patternedBytes, rejectsWith } from '../../contract/store.ts';
import { HARMLESS, LENGTH as LONG, MENDED, OBJECT } from '../../helpers/fault-lists.ts';
import { type Peer, startPeer } from '../../helpers/peer.ts';
import { type Dialect, joined, OTHER_DIALECTS, PINNED_DIALECTS } from '../../helpers/peer-dialect.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';
import { QUICK, storeBehindPeer } from '../../helpers/s3-peer.ts';

const signal = new AbortController().signal;
const LENGTH = 4096;
const BYTES = patternedBytes(10_000);

async function storeIn(t: Test, dialect: Dialect): Promise<{ store: ObjectStore; peer: Peer }> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.openToAll(bucket);
  await rgw.put(bucket, 'object', BYTES);
  const peer = await startPeer({ upstream: rgw.endpoint, dialect }, t);
  const store = await openS3Store(
    { bucket, endpoint: peer.endpoint },
    { concurrency: 4, env: rgw.env, policy: { ...QUICK, silentMs: 2_000 } },
  );
  t.teardown(() => store.close());
  return { store, peer };
}

/** Changes the answers to ranged GETs. */
function ofRanges(change: (headers: NodeJS.Dict<string | string[]>) => void): Dialect {
  return {
    answer: ({ headers }, { method }) => {
      if (method === 'GET' && headers['content-range'] !== undefined) change(headers);
    },
  };
}

test('one request is enough in every dialect', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  for (const [name, dialect] of Object.entries({ ...PINNED_DIALECTS, ...OTHER_DIALECTS })) {
    const { store, peer } = await storeIn(t, dialect);
    const { info, bytes } = await store.start('object', { length: LENGTH, signal });
    t.equal(info.size, BYTES.length, name);
    t.ok(BYTES.subarray(0, LENGTH).equals(bytes), name);
    t.strictSame([peer.count('HEAD'), peer.count('GET')], [0, 1], name);
  }
});

test('an answer that leaves the size, the version or the range open is not used', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const open = ofRanges((headers) => {
    headers['content-range'] = String(headers['content-range']).replace(/\/\d+$/, '/*');
  });
  const { store, peer } = await storeIn(t, open);
  const { info, bytes } = await store.start('object', { length: LENGTH, signal });
  t.equal(info.size, BYTES.length);
  t.ok(BYTES.subarray(0, LENGTH).equals(bytes));
  t.equal(peer.count('HEAD'), 1, 'HEAD has the size');
  const refused: readonly [string, Dialect, RegExp][] = [
    [
      'no version',
      ofRanges((headers) => {
        delete headers.etag;
        delete headers['last-modified'];
      }),
      /named no ETag/,
    ],
    ['no range', ofRanges((headers) => delete headers['content-range']), /did not say which range/],
    ['another range', ofRanges((headers) => (headers['content-range'] = 'bytes 1-4096/10000')), /sent bytes 1-4096/],
    ['a coding', ofRanges((headers) => (headers['content-encoding'] = 'gzip')), /encoded the object/],
    [
      'Range is ignored',
      { rewrite: ({ headers }) => void delete headers.range },
      /ignored Range \(200 instead of 206\)/,
    ],
  ];
  for (const [name, dialect, message] of refused) {
    const other = await storeIn(t, joined(dialect));
    const error = await rejectsWith(
      t,
      'SOURCE_UNREACHABLE',
      () => other.store.start('object', { length: LENGTH, signal }),
      name,
    );
    t.match(error.message, message, name);
  }
});

test('faults that pass, and oddities that are no faults', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const behind = await storeBehindPeer(t, { object: OBJECT }, { policy: { ...QUICK, stallMs: 300 } });
  for (const fault of [...MENDED, ...HARMLESS]) {
    let left = 2;
    behind.peer.plan = ({ method }) => {
      if (method !== 'GET' || left === 0) return undefined;
      left -= 1;
      return fault;
    };
    const { info, bytes } = await behind.store.start('object', { length: LONG, signal });
    const name = JSON.stringify(fault);
    t.equal(info.size, OBJECT.length, name);
    t.ok(OBJECT.subarray(0, LONG).equals(bytes), name);
  }
});

test('documents and starts pass the SDK by', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, peer } = await storeBehindPeer(t, { 'a b/ü+%41.json': BYTES });
  t.ok(BYTES.equals(await store.get('a b/ü+%41.json', { maxBytes: BYTES.length, signal })));
  await store.start('a b/ü+%41.json', { length: LENGTH, signal });
  t.strictSame(
    peer.requests.map(({ headers }) => headers['amz-sdk-invocation-id']),
    [undefined, undefined],
  );
});
