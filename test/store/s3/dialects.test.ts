// The store's contract in every dialect of S3, over a real server; and what is refused since it could be two things.
import { setTimeout as delay } from 'node:timers/promises';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { t as file, type Test, test } from 'tap';
import type { ErrorCode } from '../../../src/errors.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import {
  listed,
  patternedBytes,
  readAll,
  rejectsWith,
  type StoreUnderTest,
  storeContract,
} from '../../contract/store.ts';
import { type Peer, startPeer } from '../../helpers/peer.ts';
import { type Dialect, joined, OTHER_DIALECTS, PINNED_DIALECTS } from '../../helpers/peer-dialect.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../../helpers/rgw.ts';
import { QUICK } from '../../helpers/s3-peer.ts';

const signal = new AbortController().signal;

interface StoreInDialect extends StoreUnderTest {
  readonly peer: Peer;
  readonly retries: readonly string[];
}

/** One bucket for this file, open to all: a new one for each store would be most of the work. */
let opened: Promise<{ readonly rgw: Rgw; readonly bucket: string }> | undefined;

async function openBucket(): Promise<{ readonly rgw: Rgw; readonly bucket: string }> {
  const rgw = await startRgw(file);
  const bucket = await rgw.createBucket();
  await rgw.openToAll(bucket);
  return { rgw, bucket };
}

let stores = 0;

/** A store over a prefix of its own. */
async function storeIn(t: Test, dialect: Dialect): Promise<StoreInDialect> {
  opened ??= openBucket();
  const { rgw, bucket } = await opened;
  stores += 1;
  const prefix = `velero/${stores}-kubevirt-datamover`;
  const peer = await startPeer({ upstream: rgw.endpoint, dialect }, t);
  const retries: string[] = [];
  const store = await openS3Store(
    { bucket, prefix, endpoint: peer.endpoint },
    { concurrency: 4, env: rgw.env, policy: QUICK, onRetry: ({ reason }) => void retries.push(reason) },
  );
  t.teardown(() => store.close());
  const putAt = new Map<string, number>();
  return {
    store,
    peer,
    retries,
    put: async (key, bytes) => {
      // Last-Modified has whole seconds, and may be all that there is.
      const before = putAt.get(key) ?? 0;
      while (Math.floor(Date.now() / 1000) <= before) await delay(50);
      await rgw.put(bucket, `${prefix}/${key}`, bytes);
      putAt.set(key, Math.floor(Date.now() / 1000));
    },
    remove: async (key) => {
      await rgw.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${prefix}/${key}` }));
    },
  };
}

for (const [name, dialect] of Object.entries({ ...PINNED_DIALECTS, ...OTHER_DIALECTS })) {
  test(`the contract: ${name}`, async (t) => {
    if (!requires(t, ...RGW_TOOLS)) return;
    const retries: (readonly string[])[] = [];
    await storeContract(t, name, async (t) => {
      const made = await storeIn(t, dialect);
      retries.push(made.retries);
      return made;
    });
    t.strictSame(retries.flat(), [], 'nothing is tried twice');
  });
}

test('a listing of odd keys, in pages', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const names = ['a+b', 'a b', 'a%41', 'a&<>"', 'ü', '\u{1f600}', '\uffee', 'trail ', 'new\nline', 'z'];
  const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
  const paged = [
    'ListObjectsV2 answered as ListObjects',
    'ListObjects without NextMarker',
    'ListObjectsV2 without a token',
    'keys encoded unasked',
    'Delimiter is ignored',
  ];
  for (const name of paged) {
    const { store, put, peer } = await storeIn(t, OTHER_DIALECTS[name] ?? {});
    for (const key of names) {
      await put(`p/${key}`, new Uint8Array(3));
      await put(`p/${key}-dir/1`, new Uint8Array(1));
      await put(`p/${key}-dir/2`, new Uint8Array(1));
    }
    const entries = await listed(store, 'p/');
    const keysOf = (kind: string): string[] => entries.filter((entry) => entry.kind === kind).map(({ key }) => key);
    t.strictSame(keysOf('object'), names.map((key) => `p/${key}`).sort(byBytes), `${name}: objects`);
    t.strictSame(keysOf('prefix'), names.map((key) => `p/${key}-dir/`).sort(byBytes), `${name}: prefixes`);
    if (name !== 'Delimiter is ignored') t.ok(peer.requests.length >= 10, `${name}: ${peer.requests.length} pages`);
  }
});

test('If-Match is asked for once where it is refused, and always where it is taken', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  for (const [name, most] of [
    ['If-Match is answered with 501', 1],
    ['weak ETags, and If-Match fails for each of them', 1],
    ['weak ETags', 0],
  ] as const) {
    const { store, put, peer } = await storeIn(t, PINNED_DIALECTS[name] ?? {});
    await put('object', patternedBytes(1000));
    const { etag, size } = await store.head('object', { signal });
    const before = peer.count('GET');
    for (let offset = 0; offset < 10; offset += 1) {
      await readAll(store, 'object', { offset, length: 10, etag, size, signal });
    }
    t.equal(peer.count('GET') - before, 10 + most, name);
  }
});

test('If-Match that a store takes at first, and refuses for weak ETags later on', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  let conditional = 0;
  const { store, put, retries } = await storeIn(
    t,
    joined(PINNED_DIALECTS['weak ETags'] ?? {}, {
      refuse: ({ headers }) => {
        if (headers['if-match'] !== undefined) conditional += 1;
        return conditional > 3 && headers['if-match'] !== undefined
          ? { status: 412, code: 'PreconditionFailed' }
          : undefined;
      },
    }),
  );
  const bytes = patternedBytes(1000);
  await put('object', bytes);
  const { etag, size } = await store.head('object', { signal });
  for (let offset = 0; offset < 10; offset += 1) {
    const got = await readAll(store, 'object', { offset, length: 10, etag, size, signal });
    t.ok(got.equals(bytes.subarray(offset, offset + 10)));
  }
  t.equal(conditional, 4, 'then without it');
  t.strictSame(retries, []);
});

const REFUSED: Readonly<Record<string, readonly [Dialect, RegExp, ErrorCode?]>> = {
  'an ETag in HEAD alone': [
    {
      answer: ({ headers }, { method }) => {
        if (method === 'GET') delete headers.etag;
      },
    },
    /named no ETag/,
  ],
  'no ETag and no Last-Modified': [
    {
      answer: ({ headers }) => {
        delete headers.etag;
        delete headers['last-modified'];
      },
    },
    /neither an ETag nor Last-Modified/,
  ],
  'no ETag, and a Content-Range without size': [
    joined(PINNED_DIALECTS['no ETag at all'] ?? {}, {
      answer: ({ headers }) => {
        const range = headers['content-range'];
        if (range !== undefined) headers['content-range'] = range.replace(/^(bytes [1-9].*)\/\d+$/, '$1/*');
      },
    }),
    /neither an ETag nor the size/,
  ],
  'a body that is encoded': [
    {
      answer: ({ headers }, { method }) => {
        if (method === 'GET') headers['content-encoding'] = 'gzip';
      },
    },
    /encoded the object \(Content-Encoding: gzip\)/,
  ],
  'several ranges instead of one': [
    {
      answer: ({ headers }, { method }) => {
        if (method !== 'GET') return;
        delete headers['content-range'];
        headers['content-type'] = 'multipart/byteranges; boundary=x';
      },
    },
    /several ranges instead of one/,
  ],
  'HEAD without a length, GET without ranges': [
    joined(OTHER_DIALECTS['HEAD without Content-Length'] ?? {}, {
      rewrite: ({ headers }) => {
        delete headers.range;
      },
    }),
    /ignored Range/,
  ],
  'If-Match that fails for an object that was replaced': [
    joined(PINNED_DIALECTS['weak ETags, and If-Match fails for each of them'] ?? {}, {
      answer: ({ headers }, { method }) => {
        if (method === 'GET') headers.etag = 'W/"another"';
      },
    }),
    /replaced/,
    'OBJECT_CHANGED',
  ],
};

for (const [name, [dialect, why, code = 'SOURCE_UNREACHABLE']] of Object.entries(REFUSED)) {
  test(`refused: ${name}`, async (t) => {
    if (!requires(t, ...RGW_TOOLS)) return;
    const { store, put } = await storeIn(t, dialect);
    await put('object', patternedBytes(1000));
    const error = await rejectsWith(t, code, async () => {
      const { etag, size } = await store.head('object', { signal });
      await readAll(store, 'object', { offset: 10, length: 100, etag, size, signal });
    });
    t.match(error.message, why);
  });
}

test('an upload coding that a store has kept is no coding', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, put } = await storeIn(t, {
    answer: ({ headers }) => {
      headers['content-encoding'] = 'aws-chunked';
    },
  });
  const bytes = patternedBytes(1000);
  await put('object', bytes);
  const { etag, size } = await store.head('object', { signal });
  t.ok((await readAll(store, 'object', { offset: 0, length: size, etag, size, signal })).equals(bytes));
  t.ok(bytes.equals(await store.get('object', { maxBytes: size, signal })));
});

test('a listing that turns in a circle is given up', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, put } = await storeIn(t, {
    rewrite: ({ list, url }) => {
      if (!list) return;
      url.searchParams.set('max-keys', '2');
      url.searchParams.delete('marker');
      url.searchParams.delete('continuation-token');
    },
  });
  for (const key of ['a', 'b', 'c']) await put(key, new Uint8Array(1));
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => listed(store, ''));
  t.match(error.message, /restarted a listing/);
});

test('a listing of another prefix is not taken for an empty one', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const { store, put } = await storeIn(t, {
    rewrite: ({ list, url }) => {
      if (list) url.searchParams.delete('prefix');
    },
  });
  await put('a', new Uint8Array(1));
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => listed(store, ''));
  t.match(error.message, /keys of another prefix/);
});
