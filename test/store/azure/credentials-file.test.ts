// Velero's credentials file for Azure, in all the forms that its reader takes, and what is refused.
import { test } from 'tap';
import { parseCredentialsFile } from '../../../src/store/azure/credentials-file.ts';

const read = (text: string): Record<string, string> => Object.fromEntries(parseCredentialsFile(text, 'cloud'));

test('forms that are read', async (t) => {
  const cases: [string, Record<string, string>][] = [
    ['A=b\n', { A: 'b' }],
    ['\uFEFFA=b\r\nC=d', { A: 'b', C: 'd' }],
    ['A=b\rC=d\r', { A: 'b', C: 'd' }],
    ['export A=b', { A: 'b' }],
    ['A: b', { A: 'b' }],
    ['  A = b  ', { A: 'b' }],
    ['A=b # comment\n# A=c\n\n', { A: 'b' }],
    ['A=b#c', { A: 'b#c' }],
    [
      'A=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
      {
        A: 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==',
      },
    ],
    ['A="b c # d"', { A: 'b c # d' }],
    ["A='b $C'", { A: 'b $C' }],
    ['A="-----BEGIN X-----\\nabc\\n-----END X-----"', { A: '-----BEGIN X-----\nabc\n-----END X-----' }],
    ['A="line 1\nline 2"\nB=c', { A: 'line 1\nline 2', B: 'c' }],
    [`A="b"\nC=\${A}d\nE=$A`, { A: 'b', C: 'bd', E: 'b' }],
    ['A=b\\$C', { A: 'b$C' }],
    ['A=b$', { A: 'b$' }],
    ['A=', { A: '' }],
    ['A=b\nA=c', { A: 'c' }],
  ];
  for (const [text, values] of cases) t.same(read(text), values, JSON.stringify(text));
});

test('what is refused, with its line and without its value', async (t) => {
  const cases: [string, RegExp][] = [
    ['', /^cloud:1: no variable/],
    ['A=b\nsecret', /^cloud:2: expected NAME=value$/],
    ['A="secret', /^cloud:1: A: quote is not closed$/],
    ["A='secret\n", /^cloud:1: A: quote is not closed$/],
    ['A=b\nC=secret$D', /^cloud:2: C: uses a \$ that names no variable$/],
    [
      '[default]\naws_access_key_id = secret\naws_secret_access_key = secret',
      /^cloud:1: credentials file of AWS, not of Azure$/,
    ],
    [
      '{"type": "service_account", "private_key": "secret"}',
      /^cloud:1: credentials file of Google Cloud, not of Azure$/,
    ],
    ['A=b\0', /UTF-8/],
  ];
  for (const [text, message] of cases) {
    try {
      read(text);
      t.fail(`${JSON.stringify(text)} was read`);
    } catch (error) {
      t.match(error, { code: 'PLAN_INVALID', message, hint: /./ });
      t.notMatch(String(error), /secret/);
    }
  }
});
