import { test } from 'tap';
import { diskStates, disksOf, formatLoss, lossOf, mergeTips, neededBy, tipsOf } from '../../src/catalog/health.ts';
import { parseVmIndex, type VmIndex } from '../../src/catalog/vm-index.ts';
import { history } from '../helpers/catalog.ts';

const vm = { namespace: 'demo', name: 'web' };

function statesWithout(index: VmIndex, disk: string, missing: string): Map<string, { readonly state: string }> {
  const flaw = { code: 'OBJECT_MISSING', problem: 'it is missing' } as const;
  return diskStates(index, disk, ({ object }) => (object.includes(missing) ? flaw : undefined));
}

function shown(states: ReadonlyMap<string, { readonly state: string }>): string {
  return [...states].map(([id, { state }]) => `${id.slice(3)} ${state}`).join(', ');
}

test('a deleted layer breaks what builds on it, of its disk, and nothing else', async (t) => {
  const index = parseVmIndex(history('1!root,data 2root,data 3root,data 4!root,data 5root,data'), vm);
  t.strictSame(disksOf(index), ['root', 'data']);
  t.equal(shown(statesWithout(index, 'root', 'cp-2/')), '1 restorable, 2 broken, 3 broken, 4 restorable, 5 restorable');
  t.equal(
    shown(statesWithout(index, 'root', 'cp-2/vmb-2-data')),
    '1 restorable, 2 restorable, 3 restorable, 4 restorable, 5 restorable',
  );
  const states = diskStates(index, 'root', ({ object }) =>
    object.includes('cp-2/') ? { code: 'OBJECT_MISSING', problem: 'it is missing' } : undefined,
  );
  t.match(states.get('cp-3'), { state: 'broken', root: 'cp-2', code: 'OBJECT_MISSING', problem: 'it is missing' });
  const loss = lossOf('cp-2', states, tipsOf(index));
  t.strictSame(loss, { lost: ['b2', 'b3'], restorable: ['b1', 'b4', 'b5'] });
  t.equal(formatLoss('root', loss), 'affected backups of disk root: b2, b3; still restorable: b1, b4, b5');
  t.equal(formatLoss('root', { lost: [], restorable: [] }), 'no backup is affected; no other backup can be restored');
});

test('the tip of a backup is the newest checkpoint that it references, newest backup last', async (t) => {
  const index = parseVmIndex(history('1!root 2root 3!root'), vm);
  t.strictSame(
    [...tipsOf(index)],
    [
      ['b1', 'cp-1'],
      ['b2', 'cp-2'],
      ['b3', 'cp-3'],
    ],
  );
});

test('tips that are told count for more than those that the index references', async (t) => {
  const index = parseVmIndex(history('1!root 2root 3!root'), vm);
  const told = new Map([
    ['b3', 'cp-9'],
    ['b4', 'cp-2'],
    ['b5', null],
  ]);
  t.strictSame(
    [...mergeTips(index, told)],
    [
      ['b1', 'cp-1'],
      ['b2', 'cp-2'],
      ['b4', 'cp-2'],
      ['b3', 'cp-9'],
    ],
  );
});

test('what a checkpoint needs is followed as far as it goes', async (t) => {
  const document = history('1!root 2root 3root 4!root 5root');
  const needs = (tip: string | undefined): string => [...neededBy(parseVmIndex(document, vm), tip)].join(' ');
  t.equal(needs('cp-3'), 'cp-3 cp-2 cp-1');
  t.equal(needs('cp-5'), 'cp-5 cp-4');
  t.equal(needs('cp-9'), '');
  t.equal(needs(undefined), '');
  Object.assign(document.checkpoints[1] ?? {}, { parent: 'cp-3' });
  t.equal(needs('cp-3'), 'cp-3 cp-2', 'once round a circle');
  Object.assign(document.checkpoints[1] ?? {}, { type: '?' });
  t.equal(needs('cp-3'), 'cp-3 cp-2', 'down to one that cannot be believed');
});

test('where no document names a backup, what is lost is told in checkpoints', async (t) => {
  const index = parseVmIndex(history('1!root 2root 3root'), vm);
  const states = diskStates(index, 'root', ({ object }) =>
    object.includes('cp-2/') ? { code: 'OBJECT_MISSING', problem: 'it is missing' } : undefined,
  );
  const loss = lossOf('cp-2', states, new Map());
  t.equal(
    formatLoss('root', loss),
    'the affected backups are unknown; affected checkpoints of disk root: cp-2, cp-3; still restorable: cp-1',
  );
  t.match(formatLoss('root', { ...loss, restorable: [] }), /; none of its checkpoints can be restored$/);
});

test('each way to be broken by itself has its words', async (t) => {
  const broken = (change: (document: ReturnType<typeof history>) => unknown, id = 'cp-2'): object | undefined => {
    const document = history('1!root 2root');
    change(document);
    return diskStates(parseVmIndex(document, vm), 'root', () => undefined).get(id);
  };
  const second = (document: ReturnType<typeof history>): object => document.checkpoints[1] ?? {};
  t.match(
    broken((document) => document.checkpoints.shift()),
    { root: 'cp-1', problem: 'checkpoint cp-1 not found in the index' },
  );
  t.match(
    broken((document) => document.checkpoints.push(...document.checkpoints.slice(1))),
    { problem: /in the index more than once/ },
  );
  t.match(
    broken((document) => Object.assign(second(document), { parent: undefined })),
    { problem: /incremental, but names no parent/ },
  );
  t.match(
    broken((document) => Object.assign(second(document), { type: 'full' })),
    { problem: /is full, but names a parent, cp-1/ },
  );
  t.match(
    broken((document) => Object.assign(second(document), { parent: 'cp-2' })),
    { problem: /form a cycle at cp-2/ },
  );
  t.match(
    broken((document) => document.checkpoints[1]?.files.push('vmb-2-root.qcow2')),
    { problem: /more than one layer of disk root/ },
  );
  t.match(
    broken((document) => Object.assign(document.checkpoints[0] ?? {}, { files: [] })),
    { root: 'cp-1', problem: /holds no layer of disk root/ },
  );
  t.match(
    broken((document) => Object.assign(document.checkpoints[0] ?? {}, { type: '?' })),
    { root: 'cp-1', code: 'METADATA_INVALID', problem: /checkpoints\[0\]\.type/ },
  );
});
