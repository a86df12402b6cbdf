import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { MAX_PLAN_BYTES, readPlan } from '../../src/plan/read.ts';
import { tempFolder } from '../helpers/tmp.ts';

const cwd = '/work-folder';

/** The plan of the design, whole. */
const WHOLE = `
version: 1
source:
  s3:
    bucket: backups
    prefix: velero-kubevirt-datamover
    endpoint: https://s3.example.com
    region: us-east-1
    forcePathStyle: true
    profile: default
    credentialsFile: /credentials/cloud
    caFile: s3-ca.pem
    insecureSkipTLSVerify: false
    sseCustomerKeyFile: ../keys/ssec
scratch: { path: /scratch, headroomPercent: 20 }
backup: backup-004
vm: demo/web
pvcs:
  - name: rootdisk
    target: /dev/disks/rootdisk
    size: 10Gi
    chain:
      - { checkpoint: cp-001, type: full, object: a/1.qcow2, size: 75104256, sha256: ${'AB'.repeat(32)} }
      - { checkpoint: cp-002, type: incremental, parent: cp-001, object: a/2.qcow2, size: 500M }
  - { name: datadisk, target: ./data.raw }
`;

async function refused(t: Test, text: string): Promise<DatamoverError> {
  try {
    await readPlan({ text, cwd });
  } catch (error) {
    if (error instanceof DatamoverError) return error;
    throw error;
  }
  t.fail(`taken: ${text}`);
  throw new Error('taken');
}

/** A plan that is right but for `change`. */
function plan(change: (document: Record<string, unknown>) => void): string {
  const document = {
    version: 1,
    source: { directory: '/bucket' },
    pvcs: [{ name: 'a', target: '/dev/a', chain: [{ checkpoint: 'c1', type: 'full', object: 'a/1' }] }],
  };
  change(document);
  return JSON.stringify(document);
}

test('a whole plan, its paths absolute', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'plans'));
  writeFileSync(join(folder, 'plans/plan.yaml'), WHOLE);
  const read = await readPlan({ path: 'plans/plan.yaml', cwd: folder });
  t.strictSame(read, {
    version: 1,
    source: {
      kind: 's3',
      bucket: 'backups',
      prefix: 'velero-kubevirt-datamover',
      endpoint: 'https://s3.example.com',
      region: 'us-east-1',
      forcePathStyle: true,
      profile: 'default',
      insecureSkipTLSVerify: false,
      credentialsFile: '/credentials/cloud',
      caFile: join(folder, 'plans/s3-ca.pem'),
      sseCustomerKeyFile: join(folder, 'keys/ssec'),
    },
    scratch: { path: '/scratch', headroomPercent: 20 },
    backup: 'backup-004',
    vm: { namespace: 'demo', name: 'web' },
    pvcs: [
      {
        name: 'rootdisk',
        target: '/dev/disks/rootdisk',
        size: 10 * 2 ** 30,
        chain: [
          { checkpoint: 'cp-001', type: 'full', object: 'a/1.qcow2', size: 75104256, sha256: 'ab'.repeat(32) },
          { checkpoint: 'cp-002', type: 'incremental', parent: 'cp-001', object: 'a/2.qcow2', size: 500e6 },
        ],
      },
      { name: 'datadisk', target: join(folder, 'plans/data.raw') },
    ],
  });
});

test('a directory counts from the plan file, from the working folder on standard input', async (t) => {
  const folder = tempFolder(t);
  const text = plan((document) => Object.assign(document, { source: { directory: './bucket' } }));
  writeFileSync(join(folder, 'plan.json'), text);
  symlinkSync(join(folder, 'plan.json'), join(tempFolder(t), 'link.json'));
  const fromFile = await readPlan({ path: join(folder, 'plan.json'), cwd });
  t.strictSame(fromFile.source, { kind: 'directory', directory: join(folder, 'bucket') });
  t.strictSame((await readPlan({ text, cwd })).source, { kind: 'directory', directory: '/work-folder/bucket' });
  t.equal((await readPlan({ text, cwd })).scratch, undefined);
  const some = plan((document) => Object.assign(document, { scratch: { path: 's' } }));
  t.strictSame((await readPlan({ text: some, cwd })).scratch, { path: '/work-folder/s', headroomPercent: 15 });
});

test('JSON with tabs, YAML with a document mark, comments, CRLF and a BOM are the same plan', async (t) => {
  const text = plan(() => {});
  const expected = await readPlan({ text, cwd });
  const yaml =
    'version: 1\nsource: { directory: /bucket }\npvcs:\n- name: a # it\n  target: /dev/a\n  chain: [{checkpoint: c1, type: full, object: a/1}]\n';
  const alike = [
    JSON.stringify(JSON.parse(text), null, '\t'),
    yaml,
    `---\n${yaml}...\n`,
    `\uFEFF${yaml}`,
    yaml.replaceAll('\n', '\r\n'),
  ];
  for (const one of alike) t.strictSame(await readPlan({ text: one, cwd }), expected);
  const aliased = yaml
    .replace('/dev/a', '&x /dev/a')
    .concat('- { name: b, target: /dev/b, chain: [{checkpoint: c1, type: full, object: *x }]}\n');
  t.match((await refused(t, aliased)).message, /pvcs\[1\].chain\[0\].object: is absolute/, 'aliases are read');
});

test('each mistake is told with its place', async (t) => {
  const chain =
    (...layers: object[]) =>
    (document: Record<string, unknown>) =>
      Object.assign(document, { pvcs: [{ name: 'a', target: '/dev/a', chain: layers }] });
  const pvc = (change: object) => (document: Record<string, unknown>) =>
    Object.assign(document, {
      pvcs: [{ name: 'a', target: '/dev/a', chain: [{ checkpoint: 'c', type: 'full', object: 'o' }], ...change }],
    });
  const set = (change: object) => (document: Record<string, unknown>) => Object.assign(document, change);
  const full = { checkpoint: 'c1', type: 'full', object: 'a/1' };
  const cases: [(document: Record<string, unknown>) => unknown, RegExp][] = [
    [set({ version: 2 }), /version: expected 1/],
    [set({ version: undefined }), /version: is missing/],
    [set({ pvcs: [] }), /pvcs\[0\]: is missing/],
    [set({ pvcs: undefined }), /pvcs: is missing/],
    [set({ pvcs: {} }), /pvcs: expected a list, got a map/],
    [set({ source: {} }), /source: names none of `s3`, `azure`, `gcs` and `directory`/],
    [set({ source: { directory: 'x', s3: { bucket: 'b' } } }), /source: names both/],
    [set({ source: { s3: {} } }), /source\.s3\.bucket: is missing/],
    [set({ source: { s3: { bucket: 'a/b' } } }), /source\.s3\.bucket: invalid bucket name/],
    [
      set({ source: { s3: { bucket: 'b', endpoint: 's3.example.com' } } }),
      /source\.s3\.endpoint: is not an http or https URL/,
    ],
    [set({ source: { s3: { bucket: 'b', endpoint: 'file:///etc' } } }), /source\.s3\.endpoint: is not an http/],
    [
      set({ source: { s3: { bucket: 'b', forcePathStyle: 'yes' } } }),
      /forcePathStyle: expected true or false, got the text "yes"/,
    ],
    [
      set({ source: { s3: { bucket: 'b', buckets: 'b' } } }),
      /source\.s3: unknown key "buckets": did you mean "bucket"\?/,
    ],
    [set({ source: { gcs: { bucket: 'My Bucket' } } }), /source\.gcs\.bucket: invalid bucket name/],
    [set({ source: { gcs: { bucket: 'b12', region: 'x' } } }), /source\.gcs: unknown key "region"/],
    [set({ source: { directory: 'x', qqqqqq: 1 } }), /unknown key "qqqqqq" \(known keys: s3, azure, gcs, directory\)/],
    [set({ sources: 1 }), /unknown key "sources": did you mean "source"\?/],
    [set({ scratch: { headroomPercent: -1 } }), /scratch\.headroomPercent: is negative/],
    [set({ scratch: null }), /scratch: has no value/],
    [set({ backup: 'b' }), /backup: requires `vm/],
    [set({ backup: '../b', vm: 'a/b' }), /backup: holds a '\/'/],
    [set({ vm: 'web' }), /vm: expected namespace\/name, got "web"/],
    [set({ vm: '../web' }), /vm: expected namespace\/name/],
    [set({ vm: 'a/b/c' }), /vm: expected namespace\/name/],
    [pvc({ chain: undefined }), /pvcs\[0\]: no chain, and no backup to find it in/],
    [pvc({ chain: [] }), /pvcs\[0\]\.chain\[0\]: is missing/],
    [pvc({ size: '10 Gib' }), /pvcs\[0\]\.size: invalid size: "10 Gib"/],
    [pvc({ size: -1 }), /pvcs\[0\]\.size: invalid size: -1/],
    [pvc({ size: 2 ** 60 }), /pvcs\[0\]\.size: invalid size/],
    [pvc({ name: '..' }), /pvcs\[0\]\.name: is a reserved name/],
    [pvc({ name: 7 }), /pvcs\[0\]\.name: expected text, got the number 7; put it in quotes/],
    [pvc({ target: '' }), /pvcs\[0\]\.target: is empty/],
    [pvc({ target: 'a\u0000b' }), /pvcs\[0\]\.target: holds a NUL/],
    [pvc({ targets: '/dev/x' }), /pvcs\[0\]: unknown key "targets": did you mean "target"\?/],
    [chain({ ...full, object: 'a/../../b' }), /pvcs\[0\]\.chain\[0\]\.object: contains '\.\.'/],
    [chain({ ...full, object: '/etc/shadow' }), /pvcs\[0\]\.chain\[0\]\.object: is absolute/],
    [chain({ ...full, object: 'a\u0000' }), /pvcs\[0\]\.chain\[0\]\.object: holds a NUL/],
    [chain({ ...full, type: 'Full' }), /type: expected full or incremental, got "Full"/],
    [chain({ ...full, type: undefined }), /pvcs\[0\]\.chain\[0\]\.type: is missing/],
    [chain({ ...full, sha256: 'abc' }), /sha256: invalid SHA-256/],
    [chain({ ...full, size: 'ten' }), /pvcs\[0\]\.chain\[0\]\.size: invalid size: "ten"/],
    [chain({ ...full, checkpoint: 'a/b' }), /pvcs\[0\]\.chain\[0\]\.checkpoint: holds a '\/'/],
  ];
  for (const [change, message] of cases) {
    const error = await refused(t, plan(change));
    t.equal(error.code, 'PLAN_INVALID', String(message));
    t.match(error.message, message);
    t.equal(error.problems.length, 1, `${message} alone`);
    t.match(error.message, /standard input: .*\(line 1, column \d+\)$/);
    t.not(error.hint, '');
  }
});

test('disorder in a written chain is CHAIN_BROKEN', async (t) => {
  const layer = (checkpoint: string, type: string, parent?: string) => ({
    checkpoint,
    type,
    ...(parent ? { parent } : {}),
    object: `o/${checkpoint}`,
  });
  const cases: [object[], RegExp, RegExp][] = [
    [[layer('c2', 'incremental'), layer('c1', 'full')], /chain\[0\]: checkpoint c2 is first/, /such as c1$/],
    [
      [layer('c1', 'full'), layer('c2', 'incremental'), layer('c3', 'full')],
      /chain\[2\]: checkpoint c3 is full, in the middle/,
      /starts at c3,/,
    ],
    [
      [layer('c1', 'full'), layer('c3', 'incremental', 'c2')],
      /chain\[1\]: checkpoint c3 builds on c2/,
      /with c2 between c1 and c3/,
    ],
    [[layer('c1', 'full'), layer('c1', 'incremental')], /chain\[1\]: checkpoint c1 occurs twice in the chain/, /once/],
    [
      [layer('c1', 'full'), { ...layer('c2', 'incremental'), object: 'o/c1' }],
      /chain\[1\]\.object: is also the object of chain\[0\]/,
      /own/,
    ],
  ];
  for (const [chain, message, hint] of cases) {
    const error = await refused(
      t,
      plan((document) => Object.assign(document, { pvcs: [{ name: 'a', target: '/dev/a', chain }] })),
    );
    t.equal(error.code, 'CHAIN_BROKEN');
    t.match(error.message, message);
    t.match(error.hint, hint);
    t.equal(error.pvc, 'a');
  }
});

test('all mistakes are told at once, the invalid before the broken, with lines and columns', async (t) => {
  const text = `version: 1
source: { directory: /b, direktory: /c }
pvcs:
  - name: a
    target: /dev/a
    chain:
      - { checkpoint: c1, type: full, object: o1 }
      - { checkpoint: c2, type: full, object: o2 }
  - name: a
    target: /dev/../dev/a
    chain:
      - { checkpoint: c1, type: full, object: o1, size: ten }
`;
  const { problems } = await refused(t, text);
  t.strictSame(
    problems.map(({ code, pvc, message }) => [code, pvc, message.replace('standard input: ', '')]),
    [
      ['PLAN_INVALID', undefined, 'source: unknown key "direktory": did you mean "directory"? (line 2, column 37)'],
      ['PLAN_INVALID', 'a', 'pvcs[1].chain[0].size: invalid size: "ten" (line 12, column 57)'],
      ['PLAN_INVALID', 'a', 'pvcs[1].name: a is also the name of pvcs[0] (line 9, column 11)'],
      ['PLAN_INVALID', 'a', 'pvcs[1].target: /dev/../dev/a is also the target of pvcs[0] (line 10, column 13)'],
      [
        'CHAIN_BROKEN',
        'a',
        'pvcs[0].chain[1]: checkpoint c2 is full, in the middle of the chain: it does not build on c1 (line 8, column 9)',
      ],
    ],
  );
});

test('two names of one target are told, through links too', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'real'));
  symlinkSync('real', join(folder, 'link'));
  const chain = [{ checkpoint: 'c1', type: 'full', object: 'o' }];
  const pvcs = ['real/disk.raw', 'link/disk.raw'].map((name, index) => ({
    name: `p${index}`,
    target: join(folder, name),
    chain,
  }));
  const error = await refused(
    t,
    plan((document) => Object.assign(document, { pvcs })),
  );
  t.match(error.message, /the targets of PVCs p0 and p1 are the same/);
});

test('what is no plan at all is told with line and column', async (t) => {
  const deep = 'nested too deeply';
  const cases: [string, string | RegExp][] = [
    ['', 'is empty'],
    ['# nothing\n', 'is empty'],
    ['null', 'is empty'],
    ['a: 1\nb: 2\na: 3\n', 'line 3, column 1: duplicate key "a"'],
    ['{"a": {"b": 1, "b": 2}}', 'line 1, column 16: duplicate key "b"'],
    ['a: 1\n---\nb: 2\n', 'line 2, column 1: second document found'],
    ['a:\n\tb: 1\n', 'line 2, column 1: line is indented with a tab'],
    ['{"version": 1', /line 1, column 14: invalid YAML or JSON/],
    ['{"a": 1} xx', /line 1, column 10: invalid YAML or JSON/],
    ['just words', /expected a map of keys, got the text "just words"/],
    ['[1, 2]', /expected a map of keys, got a list/],
    ['? [a, b]\n: 1', 'line 1, column 3: a key is not text'],
    ['a: &x [*x]', deep],
    [`a: &a [x]\n${Array.from({ length: 200 }, (_, i) => `b${i}: *a\n`).join('')}`, 'more than 100 aliases'],
    [
      `${Array.from(
        { length: 30 },
        (_, i) =>
          `a${i}: &a${i} [${
            i === 0
              ? 'x'
              : Array(9)
                  .fill(`*a${i - 1}`)
                  .join(',')
          }]`,
      ).join('\n')}`,
      'aliases',
    ],
    ['['.repeat(100_000), deep],
    ['- '.repeat(100_000), deep],
    ['? '.repeat(100_000), deep],
    ['{a: '.repeat(100_000), deep],
    ['x'.repeat(MAX_PLAN_BYTES + 1), 'larger than 8 MiB'],
    ['version: 1\0', 'NUL at offset 10'],
    ['version: \uFFFD', 'not UTF-8 text'],
    [Array.from({ length: 60_000 }, (_, i) => `k${i}: 1\n`).join(''), 'version: is missing'],
  ];
  for (const [text, message] of cases) {
    const error = await refused(t, text);
    t.equal(error.code, 'PLAN_INVALID', text.slice(0, 20));
    t.ok(
      typeof message === 'string' ? error.message.includes(message) : message.test(error.message),
      error.message.slice(0, 200),
    );
    t.ok(error.problems.length <= 10, 'no flood of problems');
  }
});

test('files that are no plan', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'binary'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0xff, 0xfe]));
  writeFileSync(join(folder, 'large'), Buffer.alloc(MAX_PLAN_BYTES + 1, '#'));
  const cases: [string, RegExp][] = [
    ['missing.yaml', /the plan missing\.yaml not found \(ENOENT\)/],
    ['.', /the plan \. is a directory \(EISDIR\)/],
    ['binary', /binary: not UTF-8 text/],
    ['large', /large: invalid plan: larger than 8 MiB/],
    ['/dev/zero', /larger than 8 MiB/],
  ];
  for (const [path, message] of cases) {
    await t.rejects(readPlan({ path, cwd: folder }), { code: 'PLAN_INVALID', message });
  }
});

test('a pipe is read like a file, its paths count from the working folder', async (t) => {
  const folder = tempFolder(t);
  const fifo = join(folder, 'plan');
  execFileSync('mkfifo', [fifo]);
  const text = plan((document) => Object.assign(document, { source: { directory: 'bucket' } }));
  const [read] = await Promise.all([
    readPlan({ path: fifo, cwd }),
    import('node:fs/promises').then((fs) => fs.writeFile(fifo, text)),
  ]);
  t.strictSame(read.source, { kind: 'directory', directory: '/work-folder/bucket' });
});

test('no text makes it throw anything but its own error', async () => {
  const pieces = fc.constantFrom(
    'version: 1\n',
    'source:\n',
    '  directory: x\n',
    'pvcs:\n',
    '- ',
    '? ',
    '&a ',
    '*a ',
    '!!x ',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    ' ',
    '\n',
    '\t',
    '"',
    "'",
    '|\n',
    '>\n',
    '#',
    '%',
    '---\n',
    '...\n',
    'a',
    '1',
    '__proto__: {}\n',
    'null',
    '\u2028',
    '\\',
    '<<: *a\n',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 60 }).map((all) => all.join('')),
    fc.json(),
  );
  await fc.assert(
    fc.asyncProperty(text, async (value) => {
      try {
        await readPlan({ text: value, cwd });
      } catch (error) {
        if (!(error instanceof DatamoverError)) throw error;
      }
    }),
    { numRuns: 1000 },
  );
});

test('a pipe whose writer comes and goes at once is read to its end', async (t) => {
  const folder = tempFolder(t);
  const text = 'version: 1\nsource: { directory: b }\nbackup: b\nvm: a/b\npvcs: [{ name: d, target: d.raw }]\n';
  for (let count = 0; count < 20; count += 1) {
    const fifo = join(folder, `pipe-${count}`);
    execFileSync('mkfifo', [fifo]);
    const writer = spawn('sh', ['-c', 'printf %s "$1" >"$2"', 'sh', count === 0 ? '' : text, fifo], {
      stdio: 'ignore',
    });
    t.teardown(() => writer.kill('SIGKILL'));
    if (count === 0) await t.rejects(readPlan({ path: fifo, cwd: folder }), { code: 'PLAN_INVALID' }, 'nothing');
    else t.equal((await readPlan({ path: fifo, cwd: folder })).pvcs[0]?.name, 'd');
  }
});
