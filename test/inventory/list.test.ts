import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { renderList } from '../../src/cli/render/list.ts';
import { type Listing, listBucket } from '../../src/inventory/list.ts';
import { silentProgress as progress } from '../../src/progress.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { history, type IndexDocument, put, writeHistory, writeJson } from '../helpers/catalog.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;

async function list(
  directory: string,
  filter: { readonly vm?: string; readonly backup?: string } = {},
): Promise<Listing> {
  const store = await openDirectoryStore({ directory });
  const [namespace = '', name = ''] = filter.vm?.split('/') ?? [];
  const vm = filter.vm === undefined ? undefined : { namespace, name };
  return await listBucket(store, { vm, backup: filter.backup, progress, signal });
}

async function bucket(t: Test): Promise<string> {
  const folder = tempFolder(t);
  await writeHistory(folder, history('1!root 2root 3!root,data 4root,data'));
  return folder;
}

/** `root: 1 2x 3`: the checkpoints of each disk, `x` behind those that are broken. */
function states({ vms }: Listing): string[] {
  return vms.flatMap(({ disks }) =>
    disks.map(
      ({ name, checkpoints }) =>
        `${name}: ${checkpoints.map(({ id, state }) => id.slice(3) + (state === 'restorable' ? '' : 'x')).join(' ')}`,
    ),
  );
}

test('the document is as the contract says', async (t) => {
  const folder = tempFolder(t);
  await writeHistory(folder, history('1!root 2root'));
  const time = (day: number): string => `2026-01-0${day}T00:00:00.000Z`;
  const vm = (checkpoint: string): object[] => [{ namespace: 'demo', name: 'web', checkpoint }];
  const base = { checkpoint: 'cp-1', proof: 'type' };
  t.strictSame(await list(folder), {
    version: 1,
    result: 'ok',
    backups: [
      { name: 'b1', timestamp: time(1), vms: vm('cp-1') },
      { name: 'b2', timestamp: time(2), vms: vm('cp-2') },
    ],
    vms: [
      {
        namespace: 'demo',
        name: 'web',
        disks: [
          {
            name: 'root',
            checkpoints: [
              { id: 'cp-1', type: 'full', timestamp: time(1), size: 11, state: 'restorable', base },
              {
                id: 'cp-2',
                type: 'incremental',
                parent: 'cp-1',
                timestamp: time(2),
                size: 12,
                state: 'restorable',
                base,
              },
            ],
          },
        ],
      },
    ],
    problems: [],
  });
});

test('a layer that is gone or was cut breaks what builds on it, and the hint says what is left', async (t) => {
  const folder = await bucket(t);
  await rm(join(folder, 'checkpoints/demo/web/cp-1/vmb-1-root.qcow2'));
  await writeFile(join(folder, 'checkpoints/demo/web/cp-4/vmb-4-data.qcow2'), 'short');
  const listing = await list(folder);
  t.strictSame(states(listing), ['root: 1x 2x 3 4', 'data: 3 4x']);
  t.match(listing.problems, [
    {
      code: 'OBJECT_MISSING',
      message: 'VM demo/web, disk root: checkpoint cp-1: layer checkpoints/demo/web/cp-1/vmb-1-root.qcow2 not found',
      hint: 'affected backups of disk root: b1, b2; still restorable: b3, b4',
    },
    {
      code: 'SIZE_MISMATCH',
      message: /disk data: checkpoint cp-4: .*: size mismatch: expected 14 bytes, got 5$/,
      hint: /affected backups of disk data: b4; still restorable: b3/,
    },
  ]);
  const [root] = listing.vms[0]?.disks ?? [];
  t.equal(root?.checkpoints[1]?.problem, 'depends on cp-1: layer checkpoints/demo/web/cp-1/vmb-1-root.qcow2 not found');
});

test('filters show just what belongs to them', async (t) => {
  const folder = await bucket(t);
  await writeHistory(folder, history('2!disk0', { namespace: 'other', vm: 'db' }));
  const ofVm = await list(folder, { vm: 'other/db' });
  t.strictSame(
    ofVm.backups.map(({ name, vms }) => [name, vms.map((vm) => vm.name)]),
    [['b2', ['db']]],
  );
  t.strictSame(states(ofVm), ['disk0: 2']);
  const ofBackup = await list(folder, { backup: 'b2' });
  t.strictSame(
    ofBackup.backups.map(({ vms }) => vms.map((vm) => vm.name)),
    [['web', 'db']],
  );
  t.strictSame(states(ofBackup), ['root: 1 2', 'disk0: 2']);
  t.strictSame(states(await list(folder, { backup: 'b4' })), ['root: 3 4', 'data: 3 4']);
  t.strictSame(states(await list(folder, { backup: 'b4', vm: 'demo/web' })), ['root: 3 4', 'data: 3 4']);
  await t.rejects(list(folder, { backup: 'b44' }), {
    code: 'BACKUP_NOT_FOUND',
    message: /^backup b44 not found in .*; found: b1, b2, b3, b4$/,
    hint: /did you mean b4/,
  });
  await t.rejects(list(folder, { vm: 'demo/wbe' }), { code: 'BACKUP_NOT_FOUND', hint: /did you mean demo\/web/ });
});

test('backups are known without their documents', async (t) => {
  const folder = await bucket(t);
  const whole = await list(folder);
  await rm(join(folder, 'manifests/b1'), { recursive: true });
  await rm(join(folder, 'manifests/b2/index.json'));
  await rm(join(folder, 'manifests/b3/demo-web.json'));
  t.strictSame(await list(folder), whole);
});

test('broken documents are told and do not stop the rest', async (t) => {
  const folder = await bucket(t);
  await writeHistory(folder, history('1!root', { namespace: 'demo', vm: 'db' }));
  await put(folder, 'checkpoints/demo/db/index.json', Buffer.from('{"checkpoints'));
  await put(folder, 'manifests/b2/index.json', Buffer.from('garbage'));
  await writeJson(folder, 'manifests/b3/demo-web.json', { namespace: 'demo' });
  await writeJson(folder, 'manifests/b9/index.json', { vms: 7 });
  await put(folder, 'checkpoints/demo/gone/cp-1/x.qcow2', Buffer.from('x'));
  const listing = await list(folder);
  t.strictSame(states(listing), ['root: 1 2 3 4', 'data: 3 4']);
  t.strictSame(
    listing.vms.map(({ name }) => name),
    ['db', 'gone', 'web'],
  );
  const told = (part: string): boolean => listing.problems.some(({ message }) => message.includes(part));
  for (const part of ['db/index.json', 'b2/index.json', 'b9/index.json: vms', 'gone/index.json: index not found'])
    t.ok(told(part), part);
  t.notOk(told('b3/demo-web.json'), 'not read where the per-backup document tells');
  const one = await list(folder, { vm: 'demo/web' });
  t.ok(
    one.problems.some(({ message }) => message.includes('b3/demo-web.json')),
    'read when one VM is asked for',
  );
  t.match(
    (await list(folder, { backup: 'b3' })).problems.find(({ message }) => message.includes('b3/demo-web.json')),
    { code: 'METADATA_INVALID', hint: /without this manifest: kubevirt-datamover plan --source=\S+ --checkpoint=ID/ },
    'or one backup',
  );
});

test('an entry of an index that cannot be believed is told, with what is lost by it', async (t) => {
  const folder = await bucket(t);
  const index = history('1!root 2root 3!root,data 4root,data');
  Object.assign(index.checkpoints[2] ?? {}, { type: '?' });
  await writeJson(folder, 'checkpoints/demo/web/index.json', index);
  const listing = await list(folder);
  t.strictSame(states(listing), ['root: 1 2 4x', 'data: 4x']);
  t.match(listing.problems[0], {
    code: 'METADATA_INVALID',
    message: /checkpoint cp-3: checkpoints\[2\]\.type/,
    hint: /affected backups of disk root: b3, b4; still restorable: b1, b2/,
  });
});

/** The history with what its entries say of backups changed. */
function referencing(text: string, change: (referencedBy: readonly string[], own: string) => string[]): IndexDocument {
  const index = history(text);
  for (const checkpoint of index.checkpoints) {
    checkpoint.referencedBy = change(checkpoint.referencedBy, `b${checkpoint.id.slice(3)}`);
  }
  return index;
}

const HISTORY = '1!root 2root 3!root,data 4root,data';

test('a backup whose checkpoint was cut out of the index is told, and shown so', async (t) => {
  const folder = await bucket(t);
  const index = history(HISTORY);
  index.checkpoints.pop();
  await writeJson(folder, 'checkpoints/demo/web/index.json', index);
  for (const filter of [{}, { vm: 'demo/web' }, { backup: 'b4' }]) {
    const listing = await list(folder, filter);
    t.match(listing.problems, [
      {
        code: 'CHAIN_BROKEN',
        message: 'checkpoints/demo/web/index.json: checkpoint cp-4 of VM demo/web not found, but backups need it: b4',
        hint: /another copy/,
      },
    ]);
    t.match(listing.backups.at(-1), {
      name: 'b4',
      vms: [{ checkpoint: 'cp-4', problem: "cp-4 is not in the VM's index" }],
    });
    t.match(renderList(listing, { now: 0 }), /\nb4 +- +demo\/web +cp-4 broken: cp-4 is not in the VM's index\n/);
  }
  t.match((await list(folder, { backup: 'b3' })).problems, [], 'another backup is none the worse');
});

test('a VM of which there are just the manifests is told', async (t) => {
  const folder = await bucket(t);
  await writeHistory(folder, history('1!root', { vm: 'db' }));
  await rm(join(folder, 'checkpoints/demo/web'), { recursive: true });
  for (const filter of [{}, { vm: 'demo/web' }]) {
    const listing = await list(folder, filter);
    t.match(listing.problems, [
      {
        code: 'OBJECT_MISSING',
        message:
          /^checkpoints\/demo\/web\/index\.json: index and checkpoints of VM demo\/web not found, .*: b1, b2, b3, b4$/,
        hint: 'restore checkpoints/demo/web/ from another copy of the bucket',
      },
    ]);
    t.match(listing.vms.at(-1), { name: 'web', disks: [] });
    t.match(listing.backups.at(-1)?.vms, [{ checkpoint: 'cp-4', problem: "the VM's index is missing" }]);
  }
  t.strictSame(states(await list(folder)), ['root: 1']);
  t.match((await list(folder, { backup: 'b2' })).problems, [{ code: 'OBJECT_MISSING', message: /: b2$/ }]);
});

test('an index that cannot be read is seen at the backups that need it', async (t) => {
  const folder = await bucket(t);
  await put(folder, 'checkpoints/demo/web/index.json', Buffer.from('garbage'));
  const listing = await list(folder);
  t.match(listing.problems, [{ code: 'METADATA_INVALID' }]);
  for (const { vms } of listing.backups) t.match(vms, [{ problem: "the VM's index cannot be read" }]);
});

test('what a backup needs is found by the parents, whatever the index references', async (t) => {
  for (const [name, index] of [
    ['nothing', referencing(HISTORY, () => [])],
    ['each its own backup', referencing(HISTORY, (_, own) => [own])],
  ] as const) {
    await t.test(name, async (t) => {
      const folder = await bucket(t);
      await writeJson(folder, 'checkpoints/demo/web/index.json', index);
      t.strictSame(states(await list(folder, { backup: 'b2' })), ['root: 1 2']);
      t.strictSame(states(await list(folder, { backup: 'b4' })), ['root: 3 4', 'data: 3 4']);
      t.strictSame((await list(folder)).problems, []);
      await rm(join(folder, 'checkpoints/demo/web/cp-3/vmb-3-root.qcow2'));
      t.match((await list(folder)).problems, [
        { hint: 'affected backups of disk root: b3, b4; still restorable: b1, b2' },
      ]);
    });
  }
  const folder = await bucket(t);
  await writeJson(
    folder,
    'checkpoints/demo/web/index.json',
    referencing(HISTORY, () => []),
  );
  await rm(join(folder, 'manifests'), { recursive: true });
  await rm(join(folder, 'checkpoints/demo/web/cp-3/vmb-3-root.qcow2'));
  t.match((await list(folder)).problems, [
    {
      hint: 'the affected backups are unknown; affected checkpoints of disk root: cp-3, cp-4; still restorable: cp-1, cp-2',
    },
  ]);
});

test('an empty source and a wrong prefix are told', async (t) => {
  const folder = tempFolder(t);
  t.match((await list(folder)).problems, [
    { code: 'BACKUP_NOT_FOUND', hint: /check the bucket and the prefix, or the directory/ },
  ]);
  await writeHistory(join(folder, 'velero-kubevirt-datamover'), history('1!root'));
  t.match((await list(folder)).problems, [
    { code: 'BACKUP_NOT_FOUND', hint: 'check the prefix; candidates: velero-kubevirt-datamover' },
  ]);
});

test('5,000 VMs', async (t) => {
  const folder = tempFolder(t);
  for (let number = 0; number < 5000; number += 1) {
    const [namespace, vm] = [`ns-${number % 50}`, `vm-${number}`];
    await writeJson(folder, `checkpoints/${namespace}/${vm}/index.json`, history('1!root', { namespace, vm }));
    await put(folder, `checkpoints/${namespace}/${vm}/cp-1/vmb-1-root.qcow2`, Buffer.alloc(11));
  }
  const listing = await list(folder);
  t.equal(listing.vms.length, 5000);
  t.equal(states(listing).filter((state) => state === 'root: 1').length, 5000);
  t.strictSame(
    listing.backups.map(({ name, vms }) => [name, vms.length]),
    [['b1', 5000]],
  );
  t.strictSame(listing.problems, []);
});
