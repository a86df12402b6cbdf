// Reads after the first of an object are signed as the SDK signs them: range by range, second by second.
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { PreparedGet, SOME_KEY } from '../../../src/store/s3/prepared-get.ts';
import { RangeSigner } from '../../../src/store/s3/range-signer.ts';

const FIRST = { accessKeyId: 'AKIA', secretAccessKey: 'secret' };
const RENEWED = { accessKeyId: 'ASIA', secretAccessKey: 'another', sessionToken: 'token+/=' };

/** Counts what is signed by the signer of ranges, while `t` runs. */
function countSigned(t: Test): () => number {
  let count = 0;
  const { sign } = RangeSigner.prototype;
  t.intercept(RangeSigner.prototype, 'sign', {
    value: function (this: RangeSigner, ...args: Parameters<typeof sign>) {
      const signed = sign.apply(this, args);
      if (signed !== undefined) count += 1;
      return signed;
    },
  });
  return () => count;
}

/** What signs now, for keys that may change. */
async function prepare(keys: { current: typeof FIRST }): Promise<PreparedGet> {
  const client = new S3Client({
    region: 'eu-west-1',
    endpoint: 'https://s3.example:8443/base',
    forcePathStyle: true,
    credentials: Object.assign(async () => keys.current, { memoized: true }),
  });
  const prepared = await PreparedGet.from(client, new GetObjectCommand({ Bucket: 'bucket', Key: SOME_KEY }));
  if (prepared === undefined) throw new Error('not prepared');
  return prepared;
}

test('the very request that the SDK would sign', async (t) => {
  const count = countSigned(t);
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  const offsets = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 0, max: 86_399 })), {
    minLength: 2,
    maxLength: 5,
  });
  const keys = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }).filter((key) => key.isWellFormed());
  const tags = fc.option(fc.stringMatching(/^"[0-9a-f]{1,32}(-\d{1,3})?"$/), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(keys, tags, offsets, async (key, ifMatch, reads) => {
      const current = { current: FIRST };
      const used = await prepare(current);
      for (const [offset, length, second] of reads) {
        Date.now = () => Date.UTC(2026, 10, 28) + second * 1000;
        const get = { key, ifMatch, range: `bytes=${offset}-${offset + length}` };
        const expected = await (await prepare(current)).sign(get);
        t.same(await used.sign(get), expected);
      }
    }),
    { numRuns: 40 },
  );
  t.ok(count() >= 40, 'most of them without the SDK');
});

test('other keys, another day, another condition', async (t) => {
  const count = countSigned(t);
  const real = Date.now;
  t.teardown(() => {
    Date.now = real;
  });
  const midnight = Date.UTC(2026, 10, 29);
  const current = { current: FIRST };
  const used = await prepare(current);
  const get = { key: 'layer.qcow2', ifMatch: '"a"', range: 'bytes=0-9' };
  const check = async (name: string, expected: number, changed: Partial<typeof get> = {}): Promise<void> => {
    const before = count();
    const one = { ...get, ...changed };
    t.same(await used.sign(one), await (await prepare(current)).sign(one), name);
    t.equal(count() - before, expected, name);
  };
  Date.now = () => midnight - 2000;
  await check('the first', 0);
  await check('the second', 1, { range: 'bytes=10-19' });
  Date.now = () => midnight;
  await check('after midnight', 0);
  await check('and after that', 1);
  current.current = RENEWED;
  await check('other keys', 0);
  await check('and again', 1);
  await check('another condition', 0, { ifMatch: '"b"' });
  await check('another object', 0, { key: 'other.qcow2' });
});

test('a signature that is not understood is left to the SDK', async (t) => {
  const signed = await (await prepare({ current: FIRST })).sign({ key: 'k', range: 'bytes=0-9', ifMatch: undefined });
  t.ok(RangeSigner.from(signed, FIRST));
  t.equal(RangeSigner.from(signed, RENEWED), undefined, 'made with other keys');
  const without = (name: string) => Object.fromEntries(Object.entries(signed.headers).filter(([key]) => key !== name));
  for (const name of ['authorization', 'range', 'x-amz-date', 'host']) {
    t.equal(RangeSigner.from({ ...signed, headers: without(name) }, FIRST), undefined, name);
  }
  const bearer = { ...signed.headers, authorization: 'Bearer x' };
  t.equal(RangeSigner.from({ ...signed, headers: bearer }, FIRST), undefined, 'of another kind');
});
