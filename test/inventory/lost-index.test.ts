// A VM whose index is lost, in full or in part: the chain that is found, or an unproven one, or a refusal. Bytes by qemu-img and cmp.
import { cpSync, readFileSync, renameSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type DraftOptions, draftPlan } from '../../src/draft/draft-plan.ts';
import { DatamoverError } from '../../src/errors.ts';
import { listBucket } from '../../src/inventory/list.ts';
import { rebuiltDocument } from '../../src/inventory/rebuilt-document.ts';
import { loadWholeIndex } from '../../src/inventory/whole-index.ts';
import type { ProgressEvent } from '../../src/progress.ts';
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
import { put } from '../helpers/catalog.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;
const progress = { report: () => {} };

const FOUR: readonly BucketStep[] = [
  { disks: { root: 'ABCD', data: 'abcd' } },
  { disks: { root: '-X--', data: '---x' } },
  { disks: { root: '--0-', data: 'y---' } },
  { disks: { root: 'Z---', data: '--z-' } },
];

async function draft(folder: string, options: Partial<DraftOptions>) {
  const store = await openDirectoryStore({ directory: folder });
  return await draftPlan(store, {
    source: { kind: 'directory', directory: folder },
    vm: VM,
    pvcs: [],
    signal,
    ...options,
  });
}

/** `1 2 3 proven`, after the bytes of every disk were compared; or the code of the refusal. */
async function outcome(t: Test, bucket: Bucket, step: number, options: Partial<DraftOptions> = {}): Promise<string> {
  try {
    const { plan } = await draft(bucket.folder, { backup: `b${step}`, ...options });
    const found = new Set<string>();
    for (const { name, chain = [] } of plan.pvcs) {
      const objects = chain.map(({ object }) => object);
      const where = `${name} at ${step}`;
      t.equal(await difference(flatten(t, bucket.folder, objects), bucket.truth(step, name)), undefined, where);
      found.add(objects.map((object) => /\/vmb-(\d+)-/.exec(object)?.[1]).join(' '));
    }
    return `${[...found].join(' | ')} ${plan.order ?? 'proven'}`;
  } catch (error) {
    if (!(error instanceof DatamoverError)) throw error;
    return error.problems.map(({ code }) => code).join(' ');
  }
}

async function states(folder: string): Promise<string[]> {
  const store = await openDirectoryStore({ directory: folder });
  const { vms } = await listBucket(store, { progress, signal });
  return (vms[0]?.disks ?? []).map(
    ({ name, checkpoints }) => `${name}: ${checkpoints.map(({ state }) => state).join(' ')}`,
  );
}

const remove = async ({ folder }: Bucket, ...keys: readonly string[]): Promise<void> => {
  for (const key of keys) await rm(join(folder, key), { recursive: true });
};

/** The same bucket in a folder of its own, to be damaged. */
function copyOf(t: Test, bucket: Bucket): Bucket {
  const folder = join(tempFolder(t), 'bucket');
  cpSync(bucket.folder, folder, { recursive: true });
  const edit: Bucket['edit'] = async (key, change) => {
    const document = JSON.parse(readFileSync(join(folder, key), 'utf8'));
    change(document);
    await put(folder, key, Buffer.from(JSON.stringify(document)));
  };
  return { ...bucket, folder, edit };
}

test('each document lost, alone and together', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FOUR);
  const archived = [1, 2, 3, 4].map((step) => `checkpoints/demo/web/${bucket.id(step)}/vmb.json`);
  const cases: [name: string, keys: readonly string[], proven: string, accepted?: string][] = [
    ['nothing', [], '1 2 3 4 proven'],
    ['the index', [INDEX], '1 2 3 4 proven'],
    ['a manifest', [manifestKey(4)], '1 2 3 4 proven'],
    ['all manifests', ['manifests'], '1 2 3 4 proven'],
    ['vmb.json', archived, '1 2 3 4 proven'],
    ['the index and vmb.json', [INDEX, ...archived], '1 2 3 4 proven'],
    ['the index and the manifest', [INDEX, manifestKey(4)], 'CHAIN_BROKEN CHAIN_BROKEN', '1 2 3 4 unproven'],
    ['the index and an older manifest', [INDEX, manifestKey(2)], '1 2 3 4 proven'],
    [
      'the index, vmb.json and the manifest',
      [INDEX, ...archived, manifestKey(4)],
      'CHAIN_BROKEN CHAIN_BROKEN',
      '1 2 3 4 unproven',
    ],
  ];
  for (const [name, keys, proven, accepted = proven] of cases) {
    const damaged = copyOf(t, bucket);
    await remove(damaged, ...keys);
    t.equal(await outcome(t, damaged, 4), proven, name);
    t.equal(await outcome(t, damaged, 4, { acceptUnproven: true }), accepted, `${name}, accepted`);
  }
  const bare = copyOf(t, bucket);
  await remove(bare, INDEX, 'manifests');
  const checkpoint = { backup: undefined, checkpoint: bucket.id(4) };
  t.equal(await outcome(t, bare, 4, checkpoint), 'CHAIN_BROKEN CHAIN_BROKEN', 'index and all manifests');
  t.equal(await outcome(t, bare, 4, { ...checkpoint, acceptUnproven: true }), '1 2 3 4 unproven');
  t.strictSame(await states(bare.folder), [
    'data: unproven unproven unproven unproven',
    'root: unproven unproven unproven unproven',
  ]);
  await remove(bare, ...archived);
  t.equal(
    await outcome(t, bare, 4, { ...checkpoint, acceptUnproven: true }),
    '1 2 3 4 unproven',
    'by headers and tables',
  );
});

test('what was rebuilt is said, and from what; the loss stays a problem of the listing', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FOUR);
  for (const [content, code] of [
    [undefined, 'OBJECT_MISSING'],
    ['{"checkpoints": [', 'METADATA_INVALID'],
  ] as const) {
    if (content === undefined) await remove(bucket, INDEX);
    else await writeFile(join(bucket.folder, INDEX), content);
    const log: string[] = [];
    const report = (event: ProgressEvent): void => {
      if ('message' in event) log.push(event.message);
    };
    const store = await openDirectoryStore({ directory: bucket.folder });
    const { problems, vms, backups } = await listBucket(store, { progress: { report }, signal });
    t.match(problems, [{ code }]);
    t.equal(problems.length, 1);
    t.match(vms[0]?.disks, [{ name: 'data' }, { name: 'root', checkpoints: [{ state: 'restorable' }] }]);
    t.ok(backups.every((backup) => backup.vms.every(({ problem }) => problem === undefined)));
    t.match(log.join('\n'), /rebuilt the index of demo\/web in memory: 4 checkpoints, from 4 manifests \(order\)/);
    const { yaml } = await draft(bucket.folder, { backup: 'b4' });
    t.match(yaml, /order proven by a manifest/);
  }
});

test('an index that was reset after four checkpoints, with one manifest since', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, [...FOUR, { disks: { root: '---R', data: 'r---' } }]);
  await bucket.edit(INDEX, (index) => {
    index.checkpoints = index.checkpoints.slice(4);
    delete index.checkpoints[0].parent;
  });
  await bucket.edit(manifestKey(5), (manifest) => {
    manifest.checkpointChain = [bucket.id(5)];
  });
  t.equal(await outcome(t, bucket, 4), '1 2 3 4 proven', 'what a manifest lists');
  t.equal(await outcome(t, bucket, 5), 'CHAIN_BROKEN CHAIN_BROKEN', 'what the reset cut off');
  t.equal(await outcome(t, bucket, 5, { acceptUnproven: true }), '1 2 3 4 5 unproven');
  t.strictSame(await states(bucket.folder), [
    'root: restorable restorable restorable restorable unproven',
    'data: restorable restorable restorable restorable unproven',
  ]);
  await remove(bucket, manifestKey(5));
  t.equal(await outcome(t, bucket, 5), 'CHAIN_BROKEN CHAIN_BROKEN');
  t.equal(await outcome(t, bucket, 5, { acceptUnproven: true }), '1 2 3 4 5 unproven');
});

test('a VM that was deleted and made again under its name', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, [
    { disks: { root: 'ABCD' } },
    { disks: { root: '-X--' } },
    { full: true, disks: { root: 'KLMN' } },
    { disks: { root: 'Z---' } },
  ]);
  await remove(bucket, INDEX);
  t.equal(await outcome(t, bucket, 4), '3 4 proven');
  t.equal(await outcome(t, bucket, 2), '1 2 proven');
  await remove(bucket, 'manifests/b4/demo-web.json');
  t.equal(await outcome(t, bucket, 4, { acceptUnproven: true }), '3 4 unproven', 'never the old VM’s layers');
  await remove(bucket, `checkpoints/demo/web/${bucket.id(3)}/vmb.json`);
  t.equal(await outcome(t, bucket, 4, { acceptUnproven: true }), '3 4 unproven', 'its tables prove the base');
});

test('a restore in place that forked the time line', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FORKED);
  await remove(bucket, INDEX);
  t.equal(await outcome(t, bucket, 4), '1 2 4 proven');
  t.equal(await outcome(t, bucket, 3), '1 2 3 proven');
  await remove(bucket, manifestKey(4));
  t.match(await outcome(t, bucket, 4), /^CHAIN_BROKEN$/, 'the guess by time is wrong here, and is not taken unasked');
  const store = await openDirectoryStore({ directory: bucket.folder });
  const document = await rebuiltDocument(store, await loadWholeIndex(store, VM, { progress, signal }), {
    progress,
    signal,
  });
  t.match(document, { checkpoints: [{ type: 'full' }, { parent: bucket.id(1) }, { parent: bucket.id(2) }, {}] });
  t.notOk('parent' in (Object(document).checkpoints[3] ?? {}), 'a guess is not printed');
});

test('orphans of failed uploads, and two layers that claim one checkpoint', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FOUR);
  const orphan = 'checkpoints/demo/web/vmb-9-2026-01-03_12-00-00';
  cpSync(join(bucket.folder, bucket.object(1, 'root')), join(bucket.folder, `${orphan}/vmb-9-root.qcow2`), {});
  cpSync(
    join(bucket.folder, bucket.object(1, 'root')),
    join(bucket.folder, `checkpoints/demo/web/${bucket.id(2)}/vmb-2b-root.qcow2`),
  );
  await remove(bucket, INDEX);
  t.equal(await outcome(t, bucket, 4), '1 2 3 4 proven');
  await remove(bucket, manifestKey(4));
  t.not(await outcome(t, bucket, 4), '1 2 3 4 proven');
  // Two manifests that contradict each other about one parent.
  const other = copyOf(t, bucket);
  await other.edit(manifestKey(3), (manifest) => {
    manifest.checkpointChain = [1, 3].map(bucket.id);
  });
  await put(
    other.folder,
    manifestKey(4),
    Buffer.from(JSON.stringify({ namespace: 'demo', name: 'web', checkpointChain: [1, 2, 3].map(bucket.id) })),
  );
  t.match(await outcome(t, other, 3, { acceptUnproven: true }), /^OBJECT_MISSING CHAIN_BROKEN/);
});

test('clocks that jumped, and a layer deleted in the middle', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FOUR);
  const jumped = copyOf(t, bucket);
  await jumped.edit(`checkpoints/demo/web/${bucket.id(3)}/vmb.json`, ({ metadata }) =>
    Object.assign(metadata, { creationTimestamp: '2026-02-01T00:00:00Z' }),
  );
  await remove(jumped, INDEX);
  t.equal(await outcome(t, jumped, 4), '1 2 3 4 proven', 'a manifest needs no clock');
  await remove(jumped, 'manifests');
  const at = { backup: undefined, checkpoint: bucket.id(4), acceptUnproven: true };
  t.match(await outcome(t, jumped, 4, at), /OBJECT_MISSING CHAIN_BROKEN/, 'times that disagree are refused outright');
  const holed = copyOf(t, bucket);
  await remove(holed, INDEX, `checkpoints/demo/web/${bucket.id(2)}`);
  t.match(await outcome(t, holed, 4, { acceptUnproven: true }), /^OBJECT_MISSING CHAIN_BROKEN/);
  await remove(holed, 'manifests');
  // Nothing is left that names the deleted one: the guess is wrong, so it is never taken unasked.
  t.match(await outcome(t, holed, 4, { backup: undefined, checkpoint: bucket.id(4) }), /^CHAIN_BROKEN/);
});

test('what the uploader leaves: lists of unequal length, gaps in a chain', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FOUR);
  await bucket.edit(INDEX, (index) => index.checkpoints[3].pvcs.pop());
  const { plan } = await draft(bucket.folder, { backup: 'b4', pvcs: [{ name: 'pvc-data' }] });
  t.match(plan.pvcs[0].chain?.at(-1)?.object, /vmb-4-data\.qcow2$/, 'the last match in the chain');
  await remove(bucket, INDEX);
  await bucket.edit(manifestKey(4), (manifest) => {
    manifest.checkpointChain = [bucket.id(1), '', bucket.id(4)];
  });
  t.equal(await outcome(t, bucket, 4), 'CHAIN_BROKEN CHAIN_BROKEN', 'neighbours across a gap prove nothing');
});

test('the rebuilt index is the index', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, FOUR);
  const before = JSON.parse(readFileSync(join(bucket.folder, INDEX), 'utf8'));
  renameSync(join(bucket.folder, INDEX), join(bucket.folder, 'lost.json'));
  const store = await openDirectoryStore({ directory: bucket.folder });
  const index = await loadWholeIndex(store, VM, { progress, signal });
  const document = Object(await rebuiltDocument(store, index, { progress, signal }));
  t.match(
    document.checkpoints,
    before.checkpoints.map(({ id, type, parent, vmBackup, referencedBy }: Record<string, unknown>) => ({
      id,
      type,
      ...(parent === undefined ? {} : { parent }),
      vmBackup,
      referencedBy,
    })),
  );
  await put(bucket.folder, INDEX, Buffer.from(JSON.stringify(document)));
  t.equal(await outcome(t, bucket, 4), '1 2 3 4 proven');
  const { plan } = await draft(bucket.folder, { backup: 'b4' });
  t.equal(plan.pvcs.length, 2);
});
