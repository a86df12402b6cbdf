// The reader of XML: what it gives for documents that stores send, and that it refuses what is damaged.
import fc from 'fast-check';
import { test } from 'tap';
import { childOf, parseXml } from '../../../src/store/remote/xml.ts';
import { TransientError } from '../../../src/store/retry/policy.ts';

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

test('elements, attributes, entities, character data', async (t) => {
  const root = parseXml(
    '\uFEFF<?xml version="1.0" encoding="utf-8"?><!-- a - b --><A x="1&amp;2" y=\'3\'><B/>text &#65;&#x42;<C>&lt;<![CDATA[<&>]]></C></A>\n',
  );
  t.same(root.attributes, { x: '1&2', y: '3' });
  t.equal(root.text, 'text AB');
  t.equal(childOf(root, 'C')?.text, '<<&>');
  t.equal(childOf(root, 'D'), undefined);
});

test('any text comes back', async (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
      (text) => {
        const root = parseXml(`<R a="${escapeText(text)}"><N>${escapeText(text)}</N></R>`);
        t.equal(childOf(root, 'N')?.text, text);
        t.equal(root.attributes.a, text);
      },
    ),
  );
});

test('what is damaged or cut short is refused', async (t) => {
  const document = '<?xml version="1.0"?><Error><Code>X &amp; Y</Code><Message a="b">z</Message></Error>';
  for (let length = 0; length < document.length; length += 1) {
    t.throws(() => parseXml(document.slice(0, length)), TransientError, `cut at ${length}`);
  }
  for (const text of [
    '<A></B>',
    '<A/><B/>',
    'x<A/>',
    '<A>&nbsp;</A>',
    '<A>a & b</A>',
    '<!DOCTYPE A><A/>',
    '<A b=c/>',
  ]) {
    t.throws(() => parseXml(text), TransientError, text);
  }
  t.throws(() => parseXml('<A>'.repeat(100_000)), TransientError, 'depth');
});
