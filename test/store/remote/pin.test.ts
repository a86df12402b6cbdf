// Pins: what counts as the same version, by what a server tells.
import { test } from 'tap';
import {
  comparePins,
  compareWithHeaders,
  formatPin,
  parsePin,
  pinOf,
  pinOfHeaders,
} from '../../../src/store/remote/pin.ts';

const EARLY = 'Fri, 27 Nov 2026 22:32:27 GMT';
const LATE = 'Fri, 27 Nov 2026 22:32:28 GMT';

const CASES: readonly [pin: Record<string, string>, answer: Record<string, string>, verdict: string][] = [
  [{ etag: '"a"' }, { etag: '"a"' }, 'same'],
  [{ etag: '"a"' }, { etag: '"b"' }, 'changed'],
  [{ etag: '"a"' }, { etag: 'W/"a"' }, 'same'],
  [{ etag: '"a"' }, { etag: 'W/"b"' }, 'changed'],
  [{ etag: '"a"' }, { etag: 'a' }, 'same'],
  [{ etag: '"a"' }, {}, 'unclear'],
  [{ etag: '"a"' }, { 'last-modified': EARLY }, 'unclear'],
  [{ etag: '"a"', 'last-modified': EARLY }, { etag: '"a"', 'last-modified': LATE }, 'same'],
  [{ etag: 'W/"a"', 'last-modified': EARLY }, { etag: 'W/"a"', 'last-modified': EARLY }, 'same'],
  [{ etag: 'W/"a"', 'last-modified': EARLY }, { etag: 'W/"a"', 'last-modified': LATE }, 'changed'],
  [{ etag: 'W/"a"', 'last-modified': EARLY }, { etag: '"a"', 'last-modified': EARLY }, 'same'],
  [{ etag: 'W/"a"', 'last-modified': EARLY }, { etag: 'W/"a"' }, 'same'],
  [{ etag: 'a', 'last-modified': EARLY }, { etag: 'a', 'last-modified': '2026-11-27T22:32:27.325Z' }, 'same'],
  [{ etag: 'W/"a"', 'x-amz-version-id': '1' }, { etag: 'W/"a"', 'x-amz-version-id': '2' }, 'changed'],
  [{ etag: 'W/"a"', 'x-amz-version-id': 'null' }, { etag: 'W/"a"', 'x-amz-version-id': '2' }, 'same'],
  [{ 'last-modified': EARLY }, { 'last-modified': EARLY }, 'same'],
  [{ 'last-modified': EARLY }, { 'last-modified': LATE }, 'changed'],
  [{ 'last-modified': EARLY }, { etag: '"a"', 'last-modified': EARLY }, 'same'],
  [{ 'last-modified': EARLY }, { etag: '"a"' }, 'unclear'],
  [{ 'last-modified': EARLY, 'x-amz-version-id': '1' }, { 'x-amz-version-id': '1' }, 'same'],
  [{ 'x-amz-version-id': '1' }, { 'last-modified': EARLY }, 'unclear'],
];

test('what counts as the same version', async (t) => {
  for (const [headers, answer, verdict] of CASES) {
    const pin = pinOfHeaders(headers);
    if (pin === undefined) throw new Error('no pin');
    const name = `${JSON.stringify(headers)} → ${JSON.stringify(answer)}`;
    t.equal(comparePins(parsePin(formatPin(pin)), pinOfHeaders(answer)), verdict, name);
    t.equal(compareWithHeaders(parsePin(formatPin(pin)), answer), verdict, `${name}: by the headers`);
  }
});

test('what tells no version is no pin', async (t) => {
  for (const source of [
    {},
    { etag: '' },
    { etag: '""' },
    { etag: 'W/""' },
    { versionId: 'null' },
    { lastModified: 'some time ago' },
  ]) {
    t.equal(pinOf(source), undefined, JSON.stringify(source));
  }
});

test('the text of a pin', async (t) => {
  t.equal(formatPin({ tag: 'a-2', strong: true, modified: 5 }), '"a-2"', 'a strong tag is all there is');
  t.strictSame(parsePin('"a-2"'), { tag: 'a-2', strong: true });
  const weak = { tag: 'a', strong: false, modified: 0, version: 'v' };
  t.strictSame(parsePin(formatPin(weak)), weak);
  t.equal(formatPin({ version: 'v', strong: false, tag: 'a', modified: 0 }), formatPin(weak), 'whatever the order');
});
