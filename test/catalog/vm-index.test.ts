import { test } from 'tap';
import { parseVmIndex } from '../../src/catalog/vm-index.ts';
import { DatamoverError } from '../../src/errors.ts';
import { history, type IndexDocument } from '../helpers/catalog.ts';

const vm = { namespace: 'demo', name: 'web' };

function refusal(data: unknown): DatamoverError {
  try {
    parseVmIndex(data, vm);
  } catch (error) {
    if (error instanceof DatamoverError) return error;
    throw error;
  }
  throw new Error('taken');
}

function flaws(change: (index: IndexDocument) => unknown): (string | undefined)[] {
  const index = history('1!root 2root');
  change(index);
  return parseVmIndex(index, vm).entries.map(({ flaw }) => flaw);
}

test('both shapes of files give the same disks', async (t) => {
  for (const files of ['objects', 'names'] as const) {
    const [first] = parseVmIndex(history('1!root,my-data', { files }), vm).entries;
    t.match(first, {
      id: 'cp-1',
      type: 'full',
      files: [
        { disk: 'root', pvc: 'pvc-root', pvcSize: 2 ** 30, object: 'checkpoints/demo/web/cp-1/vmb-1-root.qcow2' },
        { disk: 'my-data', pvc: 'pvc-my-data', size: files === 'objects' ? 11 : undefined },
      ],
    });
  }
});

test('a disk is named by the file, else as recorded, else by its PVC, else by the whole file name', async (t) => {
  const nameOf = (file: object | string, rest: object = {}): string | undefined => {
    const [entry] = parseVmIndex(
      { checkpoints: [{ id: 'c', type: 'full', vmBackup: 'vmb-1', files: [file], ...rest }] },
      vm,
    ).entries;
    return entry?.flaw === undefined ? entry?.files[0]?.disk : `flaw: ${entry.flaw}`;
  };
  t.equal(
    nameOf({ filename: 'vmb-1-datadisk-1.qcow2', diskName: '1', size: 1 }),
    'datadisk-1',
    'an older uploader cut it',
  );
  t.equal(nameOf({ filename: 'vmb-1-root.QCOW2' }), 'root');
  t.equal(nameOf({ filename: 'other.qcow2', diskName: 'root' }), 'root');
  t.equal(nameOf('other.qcow2', { pvcs: ['p'] }), 'p');
  t.equal(nameOf('other.qcow2', { pvcs: ['p', 'q'] }), 'other', 'lists of different lengths tell nothing');
  t.equal(nameOf('vmb-1-.qcow2'), 'vmb-1-');
  t.equal(nameOf('vmb-1-root.qcow2', { vmBackup: null }), 'vmb-1-root');
});

test('what Go leaves out or writes as null is taken, unknown keys are ignored, types are read without case', async (t) => {
  const { entries } = parseVmIndex(
    {
      vmName: '',
      namespace: '',
      lastUpdated: 7,
      checkpoints: [
        {
          id: 'a',
          type: 'FULL',
          files: null,
          pvcs: null,
          referencedBy: null,
          timestamp: '0001-01-01T00:00:00Z',
          new: {},
        },
        { id: 'b', type: 'Incremental', parent: '', files: ['b.qcow2'], pvcs: [''], pvcSizes: [1073741824] },
      ],
    },
    vm,
  );
  t.match(entries, [
    { id: 'a', type: 'full', files: [], referencedBy: [], timestamp: undefined },
    { id: 'b', type: 'incremental', parent: undefined, files: [{ disk: 'b', pvc: undefined, pvcSize: 2 ** 30 }] },
  ]);
  t.strictSame(parseVmIndex({ checkpoints: null }, vm).entries, []);
});

test('what is no index is METADATA_INVALID, with its key and place', async (t) => {
  const key = 'checkpoints/demo/web/index.json';
  for (const data of [null, 7, 'x', [], { checkpoints: {} }, { checkpoints: 'x' }, { vmName: 7 }]) {
    const error = refusal(data);
    t.equal(error.code, 'METADATA_INVALID');
    t.ok(error.message.startsWith(`${key}: `), error.message);
  }
  t.match(refusal({ checkpoints: {} }).message, /checkpoints: /);
  t.match(refusal({ vmName: 'db', checkpoints: [] }).message, /index\.json is the index of another VM: demo\/db/);
});

test('a flaw of one checkpoint stays with it, and says where it is', async (t) => {
  const file = (index: IndexDocument): { size: number; objectPath: string; filename: string } => {
    const [first] = index.checkpoints[1]?.files ?? [];
    if (first === undefined || typeof first === 'string') throw new Error('no file');
    return first;
  };
  const second = (index: IndexDocument): object => index.checkpoints[1] ?? {};
  const cases: [(index: IndexDocument) => unknown, RegExp][] = [
    [(index) => Object.assign(file(index), { size: -1 }), /^checkpoints\[1\]\.files\[0\]\.size: invalid size/],
    [(index) => Object.assign(file(index), { size: 2 ** 53 }), /files\[0\]\.size: invalid size/],
    [(index) => Object.assign(file(index), { size: 1.5 }), /files\[0\]\.size: invalid size/],
    [(index) => Object.assign(file(index), { size: '11' }), /files\[0\]\.size: /],
    [
      (index) => Object.assign(file(index), { objectPath: '../../etc/shadow' }),
      /objectPath: expected checkpoints\/demo\/web\/cp-2\/.*, got "\.\.\/\.\.\/etc\/shadow"/,
    ],
    [
      (index) => Object.assign(file(index), { objectPath: 'checkpoints/demo/db/cp-2/vmb-2-root.qcow2' }),
      /objectPath: expected checkpoints\/demo\/web\/cp-2\/.*, got "checkpoints\/demo\/db\/cp-2\//,
    ],
    [
      (index) => Object.assign(file(index), { objectPath: 'checkpoints/demo/web/cp-1/vmb-2-root.qcow2' }),
      /objectPath: expected checkpoints\/demo\/web\/cp-2\/.*, got "checkpoints\/demo\/web\/cp-1\//,
    ],
    [
      (index) => Object.assign(file(index), { filename: '../cp-1/vmb-1-root.qcow2' }),
      /files\[0\]\.filename: .* holds a '\/'/,
    ],
    [(index) => Object.assign(second(index), { files: ['..'] }), /files\[0\]: "\.\." is a reserved name/],
    [(index) => Object.assign(second(index), { id: '../x' }), /checkpoints\[1\]\.id: "\.\.\/x" holds a '\/'/],
    [(index) => Object.assign(second(index), { type: 'differential' }), /checkpoints\[1\]\.type: /],
    [(index) => Object.assign(second(index), { pvcSizes: ['ten'] }), /pvcSizes\[0\]: invalid quantity: "ten"/],
    [(index) => Object.assign(second(index), { pvcs: [7] }), /pvcs\[0\]: /],
  ];
  for (const [change, flaw] of cases) {
    const [first, changed] = flaws(change);
    t.equal(first, undefined);
    t.match(changed, flaw);
  }
});
