// The written contract of src/store/store.ts as a suite that runs on every store.
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { DatamoverError, type ErrorCode } from '../../src/errors.ts';
import type { ListEntry, ObjectStore, ReadRange } from '../../src/store/store.ts';

/** A store over objects of the suite's choice, with another way to change them. */
export interface StoreUnderTest {
  readonly store: ObjectStore;
  put(key: string, bytes: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  /** Ends every body after so many bytes, with its connection; for a store that has bodies. Undefined lets all pass again. */
  cutBodies?(after: number | undefined): void;
}

export type MakeStore = (t: Test) => Promise<StoreUnderTest>;

export async function storeContract(t: Test, name: string, makeStore: MakeStore): Promise<void> {
  await t.test(`${name}: keys that are refused`, async (t) => refusesKeys(t, await makeStore(t)));
  await t.test(`${name}: head`, async (t) => heads(t, await makeStore(t)));
  await t.test(`${name}: start`, async (t) => starts(t, await makeStore(t)));
  await t.test(`${name}: ranges`, async (t) => reads(t, await makeStore(t)));
  await t.test(`${name}: pins`, async (t) => pins(t, await makeStore(t)));
  await t.test(`${name}: sinks`, async (t) => sinks(t, await makeStore(t)));
  await t.test(`${name}: slow sinks under cut bodies`, async (t) => slowSinks(t, await makeStore(t)));
  await t.test(`${name}: get`, async (t) => gets(t, await makeStore(t)));
  await t.test(`${name}: list`, async (t) => lists(t, await makeStore(t)));
  await t.test(`${name}: aborts`, async (t) => aborts(t, await makeStore(t)));
}

/** Bytes that tell their place, so that none can be lost, doubled or moved unseen. */
export function patternedBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

/** What a range holds, through a sink with rooms of `step` bytes. */
export async function readAll(
  store: ObjectStore,
  key: string,
  range: ReadRange,
  {
    step = 65536,
    busy,
  }: { readonly step?: number; readonly busy?: (filled: number) => Promise<void> | undefined } = {},
): Promise<Buffer> {
  const bytes = Buffer.alloc(range.length);
  let filled = 0;
  let resting = false;
  await store.read(key, range, {
    room: () => {
      if (resting) throw new Error('room was asked for while the sink was busy');
      return bytes.subarray(filled, Math.min(filled + step, bytes.length));
    },
    filled: (count) => {
      filled += count;
      const work = busy?.(filled);
      if (work === undefined) return undefined;
      resting = true;
      return work.finally(() => {
        resting = false;
      });
    },
  });
  if (resting) throw new Error('the read ended while the sink was busy');
  if (filled !== range.length) throw new Error(`got ${filled} bytes of ${range.length}`);
  return bytes;
}

/** Asserts that `work` rejects with `code`; gives the error. */
export async function rejectsWith(
  t: Test,
  code: ErrorCode,
  work: () => Promise<unknown>,
  name: string = code,
): Promise<DatamoverError> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DatamoverError)) throw error;
    t.equal(error.code, code, `${name}: ${error.message}`);
    t.not(error.hint, '', `${name}: has a hint`);
    return error;
  }
  throw new Error(`${name}: nothing was thrown, ${code} was expected`);
}

const signal = new AbortController().signal;

async function refusesKeys(t: Test, { store }: StoreUnderTest): Promise<void> {
  for (const key of ['', '/a', 'a/', 'a//b', '../a', 'a/../b', '..', './a', 'a/.', 'a\0b']) {
    const range = { offset: 0, length: 1, etag: 'x', size: 1, signal };
    const sink = { room: () => new Uint8Array(1), filled: () => {} };
    await rejectsWith(t, 'PLAN_INVALID', () => store.head(key, { signal }), `head ${JSON.stringify(key)}`);
    await rejectsWith(t, 'PLAN_INVALID', () => store.start(key, { length: 1, signal }), `start ${JSON.stringify(key)}`);
    await rejectsWith(t, 'PLAN_INVALID', () => store.read(key, range, sink), `read ${JSON.stringify(key)}`);
    await rejectsWith(t, 'PLAN_INVALID', () => store.get(key, { maxBytes: 1, signal }), `get ${JSON.stringify(key)}`);
  }
  for (const prefix of ['/', 'a', '../', 'a//', 'a/../', '\0/']) {
    await rejectsWith(t, 'PLAN_INVALID', () => listed(store, prefix), `list ${JSON.stringify(prefix)}`);
  }
}

async function heads(t: Test, { store, put }: StoreUnderTest): Promise<void> {
  await put('a/b/object.qcow2', patternedBytes(1000));
  await put('empty', new Uint8Array(0));
  const info = await store.head('a/b/object.qcow2', { signal });
  t.equal(info.key, 'a/b/object.qcow2');
  t.equal(info.size, 1000);
  t.not(info.etag, '');
  t.same((await store.head('a/b/object.qcow2', { signal })).etag, info.etag, 'the pin does not change by itself');
  t.equal((await store.head('empty', { signal })).size, 0);
  const error = await rejectsWith(t, 'OBJECT_MISSING', () => store.head('a/b/none', { signal }));
  t.ok(error.message.includes(store.describe('a/b/none')), 'the message says which');
  await rejectsWith(t, 'OBJECT_MISSING', () => store.head('a/b', { signal }), 'a folder is no object');
  await rejectsWith(t, 'OBJECT_MISSING', () => store.head('empty/x', { signal }), 'below an object is nothing');
  t.ok(store.describe('a').startsWith(store.description));
}

async function starts(t: Test, { store, put, remove }: StoreUnderTest): Promise<void> {
  const bytes = patternedBytes(5000);
  const sizes: readonly [string, number][] = [
    ['object', 5000],
    ['start', 4096],
    ['short', 100],
    ['one', 1],
    ['empty', 0],
  ];
  for (const [key, size] of sizes) await put(key, bytes.subarray(0, size));
  for (const [key, size] of sizes) {
    const head = await store.head(key, { signal });
    for (const length of [1, 100, 4096, 5000, 100_000]) {
      const { info, bytes: start } = await store.start(key, { length, signal });
      t.same([info.key, info.size], [key, size], `${length} of ${key}`);
      t.ok(bytes.subarray(0, Math.min(size, length)).equals(start), `${length} bytes of ${key}`);
      if (size === 0) continue;
      const range = { offset: size - 1, length: 1, etag: info.etag, size, signal };
      t.ok((await readAll(store, key, range)).equals(bytes.subarray(size - 1, size)), 'its pin is good for a read');
    }
    const again = (await store.start(key, { length: 10, signal })).info.etag;
    t.equal((await store.start(key, { length: 10, signal })).info.etag, again, 'the pin does not change by itself');
    // A proxy may weaken the ETags of one of them alone.
    if (head.etag.startsWith('"') && again.startsWith('"')) t.equal(again, head.etag, 'as of head');
  }
  const { info } = await store.start('object', { length: 1, signal });
  await put('object', patternedBytes(5000, 2));
  t.not((await store.start('object', { length: 1, signal })).info.etag, info.etag, 'another version, another pin');
  const range = { offset: 0, length: 1, etag: info.etag, size: 5000, signal };
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range));
  await remove('object');
  const error = await rejectsWith(t, 'OBJECT_MISSING', () => store.start('object', { length: 1, signal }));
  t.ok(error.message.includes(store.describe('object')), 'the message says which');
  await t.rejects(store.start('one', { length: 0, signal }), RangeError);
}

async function reads(t: Test, { store, put }: StoreUnderTest): Promise<void> {
  const size = 3 * 1024 * 1024 + 17;
  const bytes = patternedBytes(size);
  await put('object with space & ü+%41.qcow2', bytes);
  const key = 'object with space & ü+%41.qcow2';
  const { etag } = await store.head(key, { signal });
  const cases: [number, number][] = [
    [0, 1],
    [0, size],
    [size - 1, 1],
    [1, 65536],
    [12345, 1_000_000],
    [size - 4096, 4096],
  ];
  for (const [offset, length] of cases) {
    for (const step of [length, 4097, 1024 * 1024]) {
      const got = await readAll(store, key, { offset, length, etag, size, signal }, { step });
      t.ok(got.equals(bytes.subarray(offset, offset + length)), `${length} at ${offset}, rooms of ${step}`);
    }
  }
  const parts = Array.from({ length: 24 }, (_, index) => index * 131072);
  const read = await Promise.all(
    parts.map((offset) => readAll(store, key, { offset, length: 131072, etag, size, signal })),
  );
  t.ok(Buffer.concat(read).equals(bytes.subarray(0, 24 * 131072)), 'many at a time');
  await t.rejects(readAll(store, key, { offset: 10, length: size, etag, size, signal }), RangeError);
}

async function pins(t: Test, { store, put, remove }: StoreUnderTest): Promise<void> {
  await put('object', patternedBytes(5000, 1));
  const old = await store.head('object', { signal });
  const range = { offset: 10, length: 100, etag: old.etag, size: old.size, signal };
  await put('object', patternedBytes(5000, 2));
  t.not((await store.head('object', { signal })).etag, old.etag, 'another version, another pin');
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range), 'replaced, of the same size');
  await put('object', patternedBytes(50, 2));
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range), 'replaced by a smaller one');
  await remove('object');
  await rejectsWith(t, 'OBJECT_MISSING', () => readAll(store, 'object', range), 'deleted');
}

async function sinks(t: Test, { store, put }: StoreUnderTest): Promise<void> {
  const bytes = patternedBytes(700_000);
  await put('object', bytes);
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 0, length: size, etag, size, signal };
  const busy = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  t.ok((await readAll(store, 'object', range, { step: 10_000, busy })).equals(bytes), 'a busy sink is waited for');
  const full = new Error('no space left');
  const failing = { room: () => new Uint8Array(1000), filled: () => Promise.reject(full) };
  await t.rejects(store.read('object', range, failing), full, 'a sink that rejects');
  const throwing = {
    room: () => new Uint8Array(1000),
    filled: () => {
      throw full;
    },
  };
  await t.rejects(store.read('object', range, throwing), full, 'a sink that throws');
  t.ok((await readAll(store, 'object', range)).equals(bytes), 'and the store goes on');
}

async function slowSinks(t: Test, { store, put, cutBodies }: StoreUnderTest): Promise<void> {
  if (cutBodies === undefined) return;
  const bytes = patternedBytes(400_000);
  await put('object', bytes);
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 0, length: size, etag, size, signal };
  cutBodies(100_000);
  const busy = (filled: number): Promise<void> | undefined => (filled % 100_000 === 0 ? delay(300) : undefined);
  t.ok((await readAll(store, 'object', range, { step: 100_000, busy })).equals(bytes), 'busy at every cut');
  const full = new Error('no space left');
  const failing = { room: () => new Uint8Array(100_000), filled: () => delay(300).then(() => Promise.reject(full)) };
  await t.rejects(store.read('object', range, failing), full, 'a sink that rejects after the cut');
  cutBodies(undefined);
}

async function gets(t: Test, { store, put }: StoreUnderTest): Promise<void> {
  const bytes = patternedBytes(300_000);
  await put('document.json', bytes);
  await put('empty.json', new Uint8Array(0));
  t.ok(Buffer.from(await store.get('document.json', { maxBytes: 300_000, signal })).equals(bytes));
  t.equal((await store.get('empty.json', { maxBytes: 10, signal })).length, 0);
  await rejectsWith(t, 'METADATA_INVALID', () => store.get('document.json', { maxBytes: 299_999, signal }));
  await rejectsWith(t, 'OBJECT_MISSING', () => store.get('none.json', { maxBytes: 10, signal }));
}

async function lists(t: Test, { store, put }: StoreUnderTest): Promise<void> {
  for (const key of ['top', 'a/2', 'a/1', 'a/b/deep', 'a/c/deep', 'ab/x', 'a.json']) {
    await put(key, Buffer.from(key));
  }
  t.same(byKind(await listed(store, '')), { prefixes: ['a/', 'ab/'], objects: ['a.json:6', 'top:3'] });
  t.same(byKind(await listed(store, 'a/')), { prefixes: ['a/b/', 'a/c/'], objects: ['a/1:3', 'a/2:3'] });
  t.same(await listed(store, 'none/'), [], 'nothing under a prefix that is not there');
  t.same(await listed(store, 'top/'), [], 'nothing under an object');
}

async function aborts(t: Test, { store, put }: StoreUnderTest): Promise<void> {
  await put('object', patternedBytes(2_000_000));
  const { etag, size } = await store.head('object', { signal });
  const reason = new Error('the user wants to stop');
  const gone = AbortSignal.abort(reason);
  await t.rejects(store.head('object', { signal: gone }), reason);
  await t.rejects(store.start('object', { length: 1, signal: gone }), reason);
  await t.rejects(store.get('object', { maxBytes: size, signal: gone }), reason);
  await t.rejects(readAll(store, 'object', { offset: 0, length: 1, etag, size, signal: gone }), reason);
  await t.rejects(listed(store, '', gone), reason);
  const stop = new AbortController();
  const range = { offset: 0, length: size, etag, size, signal: stop.signal };
  let calls = 0;
  const sink = {
    room: () => new Uint8Array(1000),
    filled: () => {
      calls += 1;
      stop.abort(reason);
    },
  };
  await t.rejects(store.read('object', range, sink), reason, 'in the middle of a body');
  t.equal(calls, 1, 'and the sink is left alone');
  const never = new AbortController();
  const stuck = {
    room: () => new Uint8Array(1000),
    filled: (): Promise<void> => {
      setImmediate(() => never.abort(reason));
      return new Promise(() => {});
    },
  };
  await t.rejects(store.read('object', { ...range, signal: never.signal }, stuck), reason, 'while the sink is busy');
  const last = new AbortController();
  const stuckAtTheEnd = {
    room: () => new Uint8Array(1000),
    filled: (): Promise<void> => {
      setImmediate(() => last.abort(reason));
      return new Promise(() => {});
    },
  };
  const short = { ...range, length: 1000, signal: last.signal };
  await t.rejects(store.read('object', short, stuckAtTheEnd), reason, 'while the sink is busy with the last bytes');
}

/** A whole listing. */
export async function listed(store: ObjectStore, prefix: string, listSignal = signal): Promise<ListEntry[]> {
  const entries: ListEntry[] = [];
  for await (const entry of store.list(prefix, { signal: listSignal })) entries.push(entry);
  return entries;
}

function byKind(entries: readonly ListEntry[]): { prefixes: string[]; objects: string[] } {
  return {
    prefixes: entries.flatMap((entry) => (entry.kind === 'prefix' ? [entry.key] : [])),
    objects: entries.flatMap((entry) => (entry.kind === 'object' ? [`${entry.key}:${entry.size}`] : [])),
  };
}
