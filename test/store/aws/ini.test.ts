// Lines of the ini format, one by one. What a file of them gives as credentials is in credentials-file.test.ts.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { test } from 'tap';
import { parseIni } from '../../../src/store/aws/ini.ts';

/** The values of [s], whatever else there is. */
function values(text: string): Record<string, string> {
  const { sections } = parseIni(text);
  return Object.fromEntries(
    sections
      .filter(({ name }) => name === 's')
      .flatMap(({ entries }) => [...entries].map(([key, { value }]) => [key, value])),
  );
}

test('values', async (t) => {
  const cases: [line: string, value: string][] = [
    ['k=v', 'v'],
    ['k = v', 'v'],
    ['k: v', 'v'],
    ['k:v=w', 'v=w'],
    ['k=v:w', 'v:w'],
    ['K = v', 'v'],
    ['k\t=\tv\t', 'v'],
    ['k = "v"', 'v'],
    ["k = 'v'", 'v'],
    ['k = "v" # note', 'v'],
    ['k = "v;w # x"', 'v;w # x'],
    ['k = "v\\"w"', 'v"w'],
    ['k = "v\'', '"v\''],
    ['k = "v" "w"', '"v" "w"'],
    ['k = v # note', 'v'],
    ['k = v ; note', 'v'],
    ['k = v\t#note', 'v'],
    ['k = v#w;x', 'v#w;x'],
    ['k =', ''],
    ['k = # note', ''],
    ['k = ""', ''],
    ['k = v\u00a0', 'v'],
    ['k = a+b/c==', 'a+b/c=='],
  ];
  for (const [line, value] of cases) t.strictSame(values(`[s]\n${line}\n`), { k: value }, JSON.stringify(line));
});

test('lines', async (t) => {
  const cases: [name: string, text: string, expected: Record<string, string>][] = [
    ['CR LF', '[s]\r\na=1\r\nb=2\r\n', { a: '1', b: '2' }],
    ['CR alone', '[s]\ra=1\rb=2', { a: '1', b: '2' }],
    ['a byte order mark', '\uFEFF[s]\na=1\n', { a: '1' }],
    ['comments and empty lines', '# c\n; c\n\n[s]\n  # c\na=1\n', { a: '1' }],
    ['all indented', '  [s]\n  a=1\n  b=2\n', { a: '1', b: '2' }],
    ['keys indented', '[s]\n\ta=1\n\tb=2\n', { a: '1', b: '2' }],
    [
      'a known key indented below another',
      '[s]\na=1\n  aws_secret_access_key=2\n',
      { a: '1', aws_secret_access_key: '2' },
    ],
    ['the last of two keys', '[s]\na=1\na=2\n', { a: '2' }],
    ['a section twice', '[s]\na=1\n[t]\na=3\n[s]\nb=2\n', { a: '1', b: '2' }],
    ['names with space, type and quotes', '[ s ] # c\na=1\n[profile "s"]\nb=2\n', { a: '1', b: '2' }],
    ['an empty key before others, all indented', '[s]\n  a =\n  b = 2\n', { a: '', b: '2' }],
  ];
  for (const [name, text, expected] of cases) t.strictSame(values(text), expected, name);
});

test('nested keys are no keys of the section', async (t) => {
  const { sections } = parseIni(
    '[services x]\ns3 =\n  endpoint_url = http://x\n  region = r\nsts =\n  endpoint_url = http://y\n',
  );
  const [section] = sections;
  t.match(section, { type: 'services', name: 'x' });
  t.strictSame([...(section?.entries.keys() ?? [])], ['s3', 'sts']);
  t.equal(section?.entries.get('s3')?.nested.get('endpoint_url')?.value, 'http://x');
  t.equal(section?.entries.get('sts')?.nested.get('endpoint_url')?.value, 'http://y');
});

test('values over several lines are noticed', async (t) => {
  const entry = parseIni('[s]\ntoken = abc\n   def==\n   ghi\n').sections[0]?.entries.get('token');
  t.match(entry, { value: 'abc', line: 2, continuedAt: 3 });
  const below = parseIni('[s]\ntoken =\n   abcdef\n').sections[0]?.entries.get('token');
  t.match(below, { value: '', continuedAt: 3 });
});

test('what is no line has its number, and is not quoted', async (t) => {
  const { problems, outsideLine } = parseIni('geheim=1\n[s]\ngeheim\n[geheim\n[]\n= geheim\n');
  t.strictSame(
    problems.map(({ line }) => line),
    [3, 4, 5, 6],
  );
  t.notMatch(JSON.stringify(problems), 'geheim');
  t.equal(outsideLine, 1);
});

test('any text is read without an error, and in short time', async (t) => {
  const piece = fc.constantFrom(
    '[',
    ']',
    'a',
    ' ',
    '\t',
    '\n',
    '\r',
    '=',
    ':',
    '#',
    ';',
    '"',
    "'",
    '\\',
    'profile ',
    '\u0000',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      parseIni(pieces.join(''));
    }),
    { numRuns: 3000 },
  );
  for (const part of ['"', '\\"', ' ', ' #', '[ ', 'a', '='])
    parseIni(`[s]\nk = ${part.repeat(200_000)}\n${part.repeat(200_000)}`);
  parseIni(readFileSync('/proc/self/exe', 'latin1').slice(0, 1_000_000));
  t.pass();
});
