import fc from 'fast-check';
import { test } from 'tap';
import { chainFromIndex, chainFromManifest, walkToFull } from '../../src/catalog/chain.ts';
import { diskStates, disksOf, lossOf, tipsOf } from '../../src/catalog/health.ts';
import { parseVmIndex, type VmIndex } from '../../src/catalog/vm-index.ts';
import { DatamoverError } from '../../src/errors.ts';
import { history, type IndexDocument } from '../helpers/catalog.ts';

const vm = { namespace: 'demo', name: 'web' };

function index(text: string, change: (document: IndexDocument) => unknown = () => {}): VmIndex {
  const document = history(text);
  change(document);
  return parseVmIndex(document, vm);
}

function refusal(work: () => unknown): DatamoverError {
  try {
    work();
  } catch (error) {
    if (error instanceof DatamoverError) return error;
    throw error;
  }
  throw new Error('taken');
}

function ids({ layers }: { readonly layers: readonly { readonly checkpoint: string }[] }): string {
  return layers.map(({ checkpoint }) => checkpoint.slice(3)).join(' ');
}

const entry = (document: IndexDocument, position: number): object => document.checkpoints[position] ?? {};

test('a chain as the manifest lists it, proven by the index', async (t) => {
  const two = index('1!root,data 2root,data 3!root,data 4root,data');
  const chain = chainFromManifest(two, ['cp-3', 'cp-4'], 'data');
  t.strictSame(
    chain.layers.map(({ checkpoint, type, file }) => [checkpoint, type, file.object, file.size]),
    [
      ['cp-3', 'full', 'checkpoints/demo/web/cp-3/vmb-3-data.qcow2', 13],
      ['cp-4', 'incremental', 'checkpoints/demo/web/cp-4/vmb-4-data.qcow2', 14],
    ],
  );
  t.equal(chain.tip.checkpoint, 'cp-4');
});

test('without a manifest a chain is walked back to the nearest full', async (t) => {
  const two = index('1!root 2root 3!root 4root 5root');
  for (const [tip, chain] of [
    ['cp-1', '1'],
    ['cp-2', '1 2'],
    ['cp-3', '3'],
    ['cp-5', '3 4 5'],
  ] as const) {
    t.equal(ids(chainFromIndex(two, tip, 'root')), chain);
  }
});

test('a name is a disk first, then a PVC, then what an older uploader recorded', async (t) => {
  const named = index('1!root,pvc-root 2root,pvc-root', (document) => {
    for (const { files } of document.checkpoints)
      for (const file of files) if (typeof file !== 'string') file.diskName = `old-${file.filename.slice(6, 10)}`;
  });
  const diskOf = (name: string): string => chainFromIndex(named, 'cp-2', name).tip.file.disk;
  t.equal(diskOf('root'), 'root');
  t.equal(diskOf('pvc-root'), 'pvc-root', 'the disk of that name, not the disk of the PVC of that name');
  t.equal(diskOf('pvc-pvc-root'), 'pvc-root');
  t.equal(diskOf('old-root'), 'root');
  const error = refusal(() => diskOf('roto'));
  t.equal(error.code, 'BACKUP_NOT_FOUND');
  t.match(
    error.message,
    /checkpoint cp-2 of VM demo\/web has no disk roto: it holds root \(PVC pvc-root\), pvc-root \(PVC pvc-pvc-root\)/,
  );
  t.match(error.hint, /did you mean root\?/);
});

test('a disk that was added later has a chain that begins at a full, or none', async (t) => {
  const added = index('1!root 2root 3!root,data 4root,data');
  t.equal(ids(chainFromIndex(added, 'cp-4', 'data')), '3 4');
  const late = index('1!root 2root 3root,data 4root,data');
  const error = refusal(() => chainFromIndex(late, 'cp-4', 'data'));
  t.equal(error.code, 'CHAIN_BROKEN');
  t.match(error.message, /checkpoint cp-1, which is in the chain of disk data, holds no layer of it/);
  t.match(error.hint, /no full backup of data exists, it first appears in an incremental checkpoint/);
  const later = index('1!root 2root,data 3!root,data');
  t.match(refusal(() => chainFromIndex(later, 'cp-2', 'data')).hint, /with a full backup of data: cp-3/);
});

test('what the manifest lists and the index does not say is refused', async (t) => {
  const listed = (chain: string, change?: (document: IndexDocument) => unknown) =>
    refusal(() =>
      chainFromManifest(
        index('1!root 2root 3!root 4root', change),
        chain.split(' ').map((id) => `cp-${id}`),
        'root',
      ),
    );
  const cases: [string, RegExp, ((document: IndexDocument) => unknown)?][] = [
    [
      '1 2 9',
      /checkpoint cp-9 not found in the index checkpoints\/demo\/web\/index\.json, but the backup's manifest lists it/,
    ],
    ['2', /cp-2 is first in the chain, but it is incremental/],
    ['1 2 3 4', /cp-3 is full, in the middle/],
    ['1 4', /cp-4 builds on cp-3, but the one before it in the chain is cp-1/],
    ['1 2 2', /cp-2 occurs twice in the chain/],
    [
      '1 2',
      /cp-1 is the chain's full, but it names a parent, cp-0/,
      (document) => Object.assign(entry(document, 0), { parent: 'cp-0' }),
    ],
    [
      '1 2',
      /checkpoint cp-2 is in the index .* 2 times/,
      (document) => Object.assign(entry(document, 3), { id: 'cp-2' }),
    ],
    [
      '1 2',
      /more than one layer|holds root more than once/,
      (document) => document.checkpoints[1]?.files.push('vmb-2-root.qcow2'),
    ],
  ];
  for (const [chain, message, change] of cases) {
    const error = listed(chain, change);
    t.equal(error.code, 'CHAIN_BROKEN', chain);
    t.match(error.message, message);
    t.match(error.message, /^VM demo\/web: /);
    t.not(error.hint, '');
  }
  t.match(listed('1 2 3 4').hint, /starts at cp-3,/);
  const flawed = listed('1 2', (document) => Object.assign(entry(document, 1), { type: 'x' }));
  t.equal(flawed.code, 'METADATA_INVALID');
  t.match(flawed.message, /index\.json: checkpoints\[1\]\.type: /);
});

test('parents that go round or lead nowhere are told, not followed', async (t) => {
  const round = index('1!root 2root 3root', (document) => {
    Object.assign(entry(document, 0), { type: 'incremental', parent: 'cp-3' });
  });
  t.match(
    refusal(() => walkToFull(round, 'cp-2')),
    { code: 'CHAIN_BROKEN', message: /parents of checkpoint cp-2 form a cycle: cp-3 leads back to cp-2/ },
  );
  const self = index('1!root 2root', (document) => Object.assign(entry(document, 1), { parent: 'cp-2' }));
  t.match(
    refusal(() => walkToFull(self, 'cp-2')),
    { code: 'CHAIN_BROKEN', message: /form a cycle: cp-2 leads back to cp-2/ },
  );
  const lost = index('2root 3root', (document) => Object.assign(entry(document, 0), { parent: 'cp-1' }));
  t.match(
    refusal(() => walkToFull(lost, 'cp-3')),
    { code: 'CHAIN_BROKEN', message: /cp-1 not found in the index .*, but cp-2 builds on it/ },
  );
  const none = index('2root 3root');
  t.match(
    refusal(() => chainFromIndex(none, 'cp-3', 'root')),
    { code: 'CHAIN_BROKEN', message: /cp-2 is first in the chain, but it is incremental/ },
  );
});

test('a long chain is walked and proven', async (t) => {
  const long = index('1!root', ({ checkpoints: [full], checkpoints }) => {
    for (let number = 2; full !== undefined && number <= 5000; number += 1) {
      const parent = `cp-${number - 1}`;
      checkpoints.push({ ...full, id: `cp-${number}`, type: 'incremental', parent, files: ['vmb-1-root.qcow2'] });
    }
  });
  t.equal(chainFromIndex(long, 'cp-5000', 'root').layers.length, 5000);
  t.equal(
    [...diskStates(long, 'root', () => undefined).values()].filter(({ state }) => state === 'restorable').length,
    5000,
  );
});

const word = fc.constantFrom(
  'cp-1',
  'cp-2',
  'cp-3',
  'cp-4',
  '',
  '..',
  'root',
  'full',
  'incremental',
  'FULL',
  'vmb-1-root.qcow2',
  'vmb-1',
);
const junk = fc.oneof(word, fc.integer(), fc.constant(null), fc.double(), fc.array(word), fc.constant({}));
const field = <T>(good: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 30, arbitrary: good }, { weight: 1, arbitrary: junk });
const idWord = fc.constantFrom('cp-1', 'cp-2', 'cp-3', 'cp-4', 'cp-5');
const anyIndex = fc.record({
  checkpoints: fc.array(
    fc.record(
      {
        id: field(idWord),
        type: field(fc.constantFrom('full', 'incremental', 'Incremental')),
        parent: field(fc.oneof(idWord, fc.constant(undefined))),
        vmBackup: field(fc.constantFrom('vmb-1', 'vmb-2')),
        files: field(
          fc.oneof(
            { weight: 5, arbitrary: fc.constant(['root.qcow2']) },
            {
              weight: 1,
              arbitrary: fc.array(field(fc.constantFrom('root.qcow2', 'vmb-1-root.qcow2', 'vmb-2-data.qcow2')), {
                maxLength: 2,
              }),
            },
          ),
        ),
        pvcs: field(fc.constant([])),
        referencedBy: field(fc.array(field(fc.constantFrom('b1', 'b2')), { maxLength: 2 })),
      },
      { requiredKeys: ['id', 'type', 'files'] },
    ),
    { maxLength: 6 },
  ),
});

test('no index makes walk or proof throw anything but their own errors, and all of them end', async (t) => {
  let whole = 0;
  await fc.assert(
    fc.property(anyIndex, fc.array(idWord, { maxLength: 5 }), idWord, (document, listed, tip) => {
      const attempt = (work: () => unknown): boolean => {
        try {
          work();
          return true;
        } catch (error) {
          if (!(error instanceof DatamoverError)) throw error;
          return false;
        }
      };
      attempt(() => {
        const parsed = parseVmIndex(document, vm);
        attempt(() => chainFromManifest(parsed, listed, 'root'));
        const restorable = attempt(() => chainFromIndex(parsed, tip, 'root'));
        const states = diskStates(parsed, 'root', () => undefined);
        for (const disk of disksOf(parsed)) diskStates(parsed, disk, () => undefined);
        lossOf(tip, states, tipsOf(parsed));
        const state = states.get(tip);
        if (state?.state === 'restorable') whole += 1;
        // What `list` calls whole is what `plan` can restore, and the other way round for a disk of that very name.
        if (state?.state === 'restorable' && !restorable)
          throw new Error(`whole, but not restorable: ${JSON.stringify(document)}`);
        if (
          restorable &&
          disksOf(parsed).includes('root') &&
          parsed.byId
            .get(tip)
            ?.every((one) => one.flaw === undefined && one.files.some(({ disk }) => disk === 'root')) &&
          state?.state !== 'restorable'
        ) {
          throw new Error(`restorable, but not whole: ${JSON.stringify(document)}`);
        }
      });
    }),
    { numRuns: 5000 },
  );
  t.ok(whole > 100, `some are whole (${whole})`);
});
