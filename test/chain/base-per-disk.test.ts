// Where a disk's chain starts: the newest layer of its path that its type or its own tables prove. Bytes by qemu-img and cmp.
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { draftPlan } from '../../src/draft/draft-plan.ts';
import { listBucket } from '../../src/inventory/list.ts';
import { silentProgress as progress } from '../../src/progress.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { difference } from '../helpers/backup.ts';
import {
  type Bucket,
  type BucketStep,
  FORKED,
  flatten,
  INDEX,
  makeBucket,
  manifestKey,
  VM,
} from '../helpers/bucket.ts';
import { requires } from '../helpers/requires.ts';

const signal = new AbortController().signal;

async function draft(bucket: Bucket, options: object) {
  const store = await openDirectoryStore({ directory: bucket.folder });
  const source = { kind: 'directory', directory: bucket.folder } as const;
  return await draftPlan(store, { source, vm: VM, pvcs: [], signal, ...options });
}

/** The steps of a disk's chain in a backup, after its bytes were compared: `2 3`. */
async function chainOf(t: Test, bucket: Bucket, step: number, disk: string): Promise<string> {
  const { plan } = await draft(bucket, { backup: `b${step}`, pvcs: [{ name: disk }] });
  const chain = plan.pvcs[0].chain ?? [];
  const objects = chain.map(({ object }) => object);
  const steps = objects.map((object) => /\/vmb-(\d+)-/.exec(object)?.[1]).join(' ');
  t.equal(
    await difference(flatten(t, bucket.folder, objects), bucket.truth(step, disk)),
    undefined,
    `${disk} at ${step}`,
  );
  return steps;
}

async function states(bucket: Bucket): Promise<Record<string, string>> {
  const store = await openDirectoryStore({ directory: bucket.folder });
  const { vms } = await listBucket(store, { progress, signal });
  return Object.fromEntries(
    (vms[0]?.disks ?? []).map(({ name, checkpoints }) => [
      name,
      checkpoints
        .map(({ id, state, base }) => {
          const from = base === undefined ? '' : `<${/^vmb-(\d+)/.exec(base.checkpoint)?.[1]} ${base.proof}`;
          return `${/^vmb-(\d+)/.exec(id)?.[1]} ${state}${from}`;
        })
        .join(', '),
    ]),
  );
}

/** `data` is plugged in at step 2, inside an incremental checkpoint. */
const PLUGGED: readonly BucketStep[] = [
  { disks: { root: 'ABCD' } },
  { disks: { root: '-X--', data: 'EF0G' } },
  { disks: { root: '--Y-', data: '-H--' } },
];

test('a disk that was plugged in at an incremental checkpoint starts at its own full', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, PLUGGED);
  t.equal(await chainOf(t, bucket, 3, 'data'), '2 3');
  t.equal(await chainOf(t, bucket, 3, 'root'), '1 2 3');
  t.strictSame(await states(bucket), {
    root: '1 restorable<1 type, 2 restorable<1 type, 3 restorable<1 type',
    data: '2 restorable<2 tables, 3 restorable<2 tables',
  });
  const { yaml } = await draft(bucket, { backup: 'b3' });
  t.match(yaml, new RegExp(`Base: checkpoint ${bucket.id(2)}, a full by its tables; order proven by the index`));
});

test('the same by volume types of a later KubeVirt', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const volumes = [
    { volumeName: 'root', type: 'Incremental' },
    { volumeName: 'data', type: 'Full' },
  ];
  const [first, second, third] = PLUGGED as [BucketStep, BucketStep, BucketStep];
  const bucket = await makeBucket(t, [first, { ...second, status: { includedVolumes: volumes } }, third]);
  t.equal(await chainOf(t, bucket, 3, 'data'), '2 3');
  t.equal(await chainOf(t, bucket, 3, 'root'), '1 2 3');
});

test('a first layer with holes is no base, whatever a document says', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const forged = [{ volumeName: 'data', type: 'Full' }];
  const bucket = await makeBucket(t, [
    { disks: { root: 'ABCD' } },
    { disks: { root: '-X--', data: 'EF-G' }, status: { includedVolumes: forged } },
  ]);
  await t.rejects(draft(bucket, { backup: 'b2', pvcs: [{ name: 'data' }] }), {
    code: 'CHAIN_BROKEN',
    message:
      /is full \(.*vmb\.json: status\.includedVolumes: data\), but also incremental \(index\.json: checkpoints\[1\]\.type, .*\); its tables leave offset 131072 to a parent/,
  });
  t.match(await states(bucket), { data: '2 broken' });
});

/** `root` fell back to a full at step 3, inside an incremental checkpoint. */
const FELL_BACK: readonly BucketStep[] = [
  { disks: { root: 'ABCD', data: 'abcd' } },
  { disks: { root: '-X--', data: '-x--' } },
  { disks: { root: 'KLM0', data: '--y-' }, alone: ['root'] },
  { disks: { root: '---Z', data: 'z---' } },
];

test('a disk that fell back to a full needs no layer before it, not even when they are gone', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FELL_BACK);
  t.equal(await chainOf(t, bucket, 4, 'root'), '1 2 3 4', 'the documents answer');
  await rm(join(bucket.folder, bucket.object(1, 'root')));
  t.equal(await chainOf(t, bucket, 4, 'root'), '3 4', 'the first layer is gone');
  await writeFile(join(bucket.folder, bucket.object(2, 'root')), 'short');
  t.equal(await chainOf(t, bucket, 4, 'root'), '3 4', 'and another was cut');
  t.equal(await chainOf(t, bucket, 4, 'data'), '1 2 3 4');
  t.match(await states(bucket), { root: '1 broken, 2 broken, 3 restorable<3 tables, 4 restorable<3 tables' });
  const { yaml } = await draft(bucket, { backup: 'b4' });
  t.match(yaml, /note: the chain starts at checkpoint vmb-3-.*; 2 older layers are not needed/);
  // The documents lose them too.
  await bucket.edit(INDEX, (index) => index.checkpoints.splice(0, 2));
  for (const step of [1, 2])
    await rm(join(bucket.folder, `checkpoints/demo/web/${bucket.id(step)}`), { recursive: true });
  t.equal(await chainOf(t, bucket, 4, 'root'), '3 4');
  await t.rejects(draft(bucket, { backup: 'b4', pvcs: [{ name: 'data' }] }), { code: 'CHAIN_BROKEN' });
});

test('an incremental that lost its parent stays refused', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, [
    { disks: { root: 'ABCD' } },
    { disks: { root: 'WXYZ' } },
    { disks: { root: '---V' }, alone: ['root'] },
  ]);
  await rm(join(bucket.folder, bucket.object(1, 'root')));
  // Step 2 covers the disk, but records a backing file; step 3 records none, but has holes.
  await t.rejects(draft(bucket, { backup: 'b3' }), { code: 'OBJECT_MISSING' });
  t.match(await states(bucket), { root: '1 broken, 2 broken, 3 broken' });
});

test('a full in the middle of a listed chain is cut at only when its tables prove it', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  for (const [cells, chain] of [
    ['KLMN', '2 3'],
    ['K-MN', undefined],
  ] as const) {
    const bucket = await makeBucket(t, [
      { disks: { root: 'ABCD' } },
      { full: true, disks: { root: cells } },
      { disks: { root: '---Z' } },
    ]);
    const all = [1, 2, 3].map(bucket.id);
    await bucket.edit(manifestKey(3), (manifest) => Object.assign(manifest, { checkpointChain: all }));
    if (chain !== undefined) t.equal(await chainOf(t, bucket, 3, 'root'), chain);
    else {
      const refused = { code: 'CHAIN_BROKEN', message: /is full, in the middle of the chain/ };
      await t.rejects(draft(bucket, { backup: 'b3' }), refused);
    }
  }
});

test('a parent that is not the newest checkpoint is legal', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FORKED);
  t.equal(await chainOf(t, bucket, 4, 'root'), '1 2 4');
  t.equal(await chainOf(t, bucket, 3, 'root'), '1 2 3');
  for (const step of [3, 4]) await rm(join(bucket.folder, manifestKey(step)));
  t.equal(await chainOf(t, bucket, 4, 'root'), '1 2 4', 'without its manifest');
});

test('a backup that failed breaks every chain through it', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const conditions = [{ type: 'Failed', status: 'True', message: 'disk full' }];
  const bucket = await makeBucket(t, [
    { disks: { root: 'ABCD' } },
    { disks: { root: '-X--' }, status: { conditions } },
    { disks: { root: '--Y-' } },
  ]);
  t.equal(await chainOf(t, bucket, 1, 'root'), '1');
  await t.rejects(draft(bucket, { backup: 'b3' }), {
    code: 'CHAIN_BROKEN',
    message: /backup of checkpoint vmb-2-.* failed: .*vmb\.json: status\.conditions\[0\]: Failed: disk full/,
  });
  t.match(await states(bucket), { root: '1 restorable<1 type, 2 broken, 3 broken' });
});

test('an archived backup of another checkpoint is refused', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, [{ disks: { root: 'ABCD' } }, { disks: { root: '-X--' } }]);
  await bucket.edit(`checkpoints/demo/web/${bucket.id(2)}/vmb.json`, ({ status }) =>
    Object.assign(status, { checkpointName: bucket.id(1) }),
  );
  await t.rejects(draft(bucket, { backup: 'b2' }), {
    code: 'METADATA_INVALID',
    message: /vmb\.json: status\.checkpointName: expected vmb-2-.*, got "vmb-1-/,
  });
});
