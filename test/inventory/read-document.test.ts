// A document whose answer was spoiled on its way, against one that is damaged in the bucket.
import { test } from 'tap';
import { readDocument } from '../../src/inventory/read-document.ts';
import { rejectsWith } from '../contract/store.ts';
import type { Fault } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { storeBehindPeer } from '../helpers/s3-peer.ts';

const { signal } = new AbortController();
const DOCUMENT = { checkpoints: Array.from({ length: 100 }, (_, index) => ({ id: `c${index}` })) };
const BYTES = Buffer.from(JSON.stringify(DOCUMENT));

/** Each looks like a complete answer. */
const SPOILED: readonly Fault[] = [
  { kind: 'unframed', after: 100 },
  { kind: 'short', bytes: 10 },
  { kind: 'long', bytes: 10 },
];

test('a document that comes spoiled once is read again', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, peer } = await storeBehindPeer(t, { 'index.json': BYTES });
  for (const fault of SPOILED) {
    peer.plan = ({ nth }) => (nth % 2 === 1 ? fault : undefined);
    t.strictSame(await readDocument(store, 'index.json', { signal }), DOCUMENT, fault.kind);
  }
});

test('a document that comes spoiled each time in another way: the source, not the backup', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const plan = ({ nth }: { readonly nth: number }): Fault => ({ kind: 'unframed', after: 100 + nth });
  const { store } = await storeBehindPeer(t, { 'index.json': BYTES }, { plan });
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => readDocument(store, 'index.json', { signal }));
  t.match(error, {
    message: /index\.json: invalid JSON \(104 bytes\): .*; read 4 times, different each time$/,
    hint: /^check the network/,
  });
});

test('a document that is damaged in the bucket is read twice, and no more', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, peer } = await storeBehindPeer(t, { 'index.json': BYTES.subarray(0, 500) });
  const error = await rejectsWith(t, 'METADATA_INVALID', () => readDocument(store, 'index.json', { signal }));
  t.match(error.message, /index\.json: invalid JSON \(500 bytes\): /);
  t.equal(peer.count('GET', 'index.json'), 2);
});
