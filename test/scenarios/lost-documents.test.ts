// Lost and half documents through the program itself, from a directory and from Ceph RGW: list, plan, verify, restore, download.
import { readFileSync } from 'node:fs';
import { cp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { difference } from '../helpers/backup.ts';
import { type Bucket, type BucketStep, INDEX, type Json, makeBucket, manifestKey } from '../helpers/bucket.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

const quiesced = { conditions: [{ type: 'Quiesced', status: 'True' }] };

/** `data` is plugged in at step 2; `root` falls back to a full at step 3. */
const MIXED: readonly BucketStep[] = [
  { disks: { root: 'ABCD' }, spec: { forceFullBackup: true } },
  { disks: { root: '-X--', data: 'EF0G' } },
  { disks: { root: 'KLM0', data: '-H--' }, alone: ['root'] },
  { disks: { root: '---Z', data: 'q---' }, status: quiesced },
];

interface Source {
  readonly flags: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

async function json(args: readonly string[], { env }: Source): Promise<{ exitCode: number | null; document: Json }> {
  const { exitCode, stdout } = await sharedCli([...args, '--output', 'json'], { env });
  return { exitCode, document: JSON.parse(stdout) };
}

interface RestoreAllOptions {
  readonly bucket: Bucket;
  readonly source: Source;
  readonly step: number;
  readonly accept?: readonly string[];
  /** What `plan` is asked for. */
  readonly by?: 'backup' | 'checkpoint';
}

/** Plans and restores every disk of a backup, and compares the bytes. */
async function restoreAll(
  t: Test,
  { bucket, source, step, accept = [], by = 'backup' }: RestoreAllOptions,
): Promise<Json> {
  const folder = tempFolder(t);
  const targets = ['root', 'data'].map((disk) => join(folder, `${disk}.raw`));
  const pvcs = ['root', 'data'].map((disk, index) => `--pvc=${disk}=${targets[index]}`);
  const which = by === 'backup' ? ['--backup', `b${step}`] : ['--checkpoint', bucket.id(step)];
  const planned = await sharedCli(['plan', ...source.flags, '--vm', 'demo/web', ...which, ...pvcs, ...accept], {
    env: source.env,
  });
  t.equal(planned.exitCode, 0, planned.stderr);
  const plan = join(folder, 'plan.yaml');
  await writeFile(plan, planned.stdout);
  if (accept.length > 0) {
    const refused = await json(['restore', plan, '--scratch', join(folder, 'scratch')], source);
    t.equal(refused.exitCode, 4);
    t.match(refused.document.error, { code: 'CHAIN_BROKEN', message: /unproven/, hint: /--accept-unproven/ });
    t.match(planned.stdout, /\norder: unproven\n/);
  }
  const { exitCode, document } = await json(['restore', plan, '--scratch', join(folder, 'scratch'), ...accept], source);
  t.equal(exitCode, 0, document.error?.message);
  for (const [index, disk] of ['root', 'data'].entries()) {
    t.equal(await difference(targets[index] ?? '', bucket.truth(step, disk)), undefined, `${disk} of b${step}`);
  }
  return document;
}

async function loseDocuments(t: Test, bucket: Bucket, source: Source, remove: (key: string) => Promise<void>) {
  await t.test('every document there, the first layer of root gone', async (t) => {
    await remove(bucket.object(1, 'root'));
    const document = await restoreAll(t, { bucket, source, step: 4 });
    t.match(document.pvcs, [
      {
        name: 'root',
        base: { checkpoint: bucket.id(3), proof: 'tables' },
        order: 'index',
        taken: { by: 'vmb-4', at: '2026-01-04T02:00:00Z', consistency: 'quiesced' },
      },
      { name: 'data', base: { checkpoint: bucket.id(2), proof: 'tables' }, order: 'index' },
    ]);
    t.notOk(
      document.pvcs.some((pvc: Json) => 'warnings' in pvc),
      'without a warning',
    );
  });
  await t.test('the index lost', async (t) => {
    await remove(INDEX);
    const listed = await json(['list', ...source.flags], source);
    t.equal(listed.exitCode, 3);
    t.match(listed.document.problems[0], { code: 'OBJECT_MISSING', hint: /rebuild-index/ });
    const root = listed.document.vms[0].disks.find(({ name }: Json) => name === 'root');
    t.match(
      root.checkpoints,
      [{ state: 'broken' }, { state: 'broken' }, { state: 'restorable', base: { proof: 'tables' } }, {}].slice(1),
    );
    const document = await restoreAll(t, { bucket, source, step: 4 });
    t.match(document.pvcs, [{ order: 'manifest' }, { order: 'manifest' }]);
    const { stdout, exitCode } = await sharedCli(['rebuild-index', ...source.flags, '--vm', 'demo/web'], {
      env: source.env,
    });
    t.equal(exitCode, 0);
    t.match(JSON.parse(stdout), { vmName: 'web', checkpoints: [{ id: bucket.id(2), parent: bucket.id(1) }, {}, {}] });
  });
  await t.test('the index and its manifest lost', async (t) => {
    await remove(manifestKey(4));
    const document = await restoreAll(t, { bucket, source, step: 4, accept: ['--accept-unproven'] });
    t.match(document.pvcs, [{ order: 'time', warnings: [/unproven/] }, { order: 'time' }]);
    const text = await sharedCli(['list', ...source.flags], { env: source.env });
    t.match(text.stdout, /CONSISTENCY/);
    t.match(text.stdout, /quiesced +unproven from vmb-3-\S+ \(by its tables\)/);
  });
}

function bucketSource({ endpoint, region, env }: Rgw, name: string): Source {
  const url = `s3://${name}/velero-kubevirt-datamover`;
  return { flags: ['--source', url, '--endpoint', endpoint, '--region', region, '--path-style'], env };
}

interface Loss {
  readonly index?: boolean;
  /** Manifests of these steps, per VM and per backup. */
  readonly manifests?: readonly number[];
  /** Every archived vmb.json. */
  readonly archived?: boolean;
  /** What then proves the order of a chain. */
  readonly order: 'index' | 'manifest' | 'time';
  /** What then proves the base of `root`, whose first layer is a full; `data` has only its tables. Default: `type`. */
  readonly rootBase?: 'type' | 'tables';
}

const ALL = MIXED.map((_, index) => index + 1);

/** Each document alone and together with others. Every disk has a base: a loss costs the proof of the order at most. */
const LOSSES: readonly Loss[] = [
  { manifests: [4], order: 'index' },
  { manifests: [2], order: 'index' },
  { manifests: ALL, order: 'index' },
  { archived: true, order: 'index' },
  { manifests: ALL, archived: true, order: 'index' },
  { index: true, order: 'manifest' },
  { index: true, manifests: [2], order: 'manifest' },
  { index: true, manifests: [4], order: 'time' },
  { index: true, manifests: ALL, order: 'time' },
  { index: true, archived: true, order: 'manifest', rootBase: 'tables' },
  { index: true, manifests: [4], archived: true, order: 'time', rootBase: 'tables' },
  { index: true, manifests: ALL, archived: true, order: 'time', rootBase: 'tables' },
];

function keysOf(bucket: Bucket, { index = false, manifests = [], archived = false }: Loss): string[] {
  return [
    ...(index ? [INDEX] : []),
    ...manifests.flatMap((step) => [manifestKey(step), `manifests/b${step}/index.json`]),
    ...(archived ? ALL.map((step) => `checkpoints/demo/web/${bucket.id(step)}/vmb.json`) : []),
  ];
}

/** Restores the newest checkpoint of both disks from a source that has lost these documents. */
async function restoreAfter(t: Test, { bucket, source, loss }: { bucket: Bucket; source: Source; loss: Loss }) {
  const { order, rootBase = 'type' } = loss;
  const accept = order === 'time' ? ['--accept-unproven'] : [];
  const document = await restoreAll(t, { bucket, source, step: 4, accept, by: 'checkpoint' });
  t.match(document.pvcs, [
    {
      name: 'root',
      base: rootBase === 'type' ? { checkpoint: bucket.id(1), proof: 'type' } : { proof: 'tables' },
      order,
    },
    { name: 'data', base: { checkpoint: bucket.id(2), proof: 'tables' }, order },
  ]);
}

function titleOf({ index, manifests = [], archived }: Loss): string {
  const which = manifests === ALL ? 'all manifests' : manifests.map((step) => `the manifest of b${step}`).join();
  return ['lost:', index ? 'the index' : '', which, archived ? 'every vmb.json' : ''].filter(Boolean).join(' ');
}

test('each document lost, alone and together, from a directory', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, MIXED);
  for (const loss of LOSSES) {
    await t.test(titleOf(loss), async (t) => {
      const copy = join(tempFolder(t), 'bucket');
      await cp(bucket.folder, copy, { recursive: true });
      for (const key of keysOf(bucket, loss)) await rm(join(copy, key));
      await restoreAfter(t, { bucket, source: { flags: ['--source', copy], env: {} }, loss });
    });
  }
});

test('each document lost, alone and together, from a bucket', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp', ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await makeBucket(t, MIXED);
  for (const loss of LOSSES) {
    await t.test(titleOf(loss), async (t) => {
      const name = await rgw.createBucket();
      const lost = keysOf(bucket, loss);
      const copy = join(tempFolder(t), 'bucket');
      await cp(bucket.folder, copy, { recursive: true });
      for (const key of lost) await rm(join(copy, key));
      await rgw.putFolder(name, copy, 'velero-kubevirt-datamover/');
      await restoreAfter(t, { bucket, source: bucketSource(rgw, name), loss });
    });
  }
});

/** Step 3 builds on step 1 (a restore to an older checkpoint forks the time line); step 2 failed. */
const FORKED: readonly BucketStep[] = [
  { disks: { root: 'ABCD', data: 'EFGH' } },
  {
    disks: { root: '-X--', data: '-I--' },
    status: { conditions: [{ type: 'Failed', status: 'True', message: 'no space' }] },
  },
  { disks: { root: '--Y-', data: 'J---' }, parent: 1 },
  { disks: { root: '---Z', data: '--0-' } },
];

/** What the operator's uploader leaves: empty references and entries, and objects in `checkpointChain`. */
async function leaveAsUploader(bucket: Bucket): Promise<void> {
  await bucket.edit(INDEX, ({ checkpoints }) => checkpoints[0].referencedBy.push(''));
  await bucket.edit(`manifests/b4/index.json`, ({ vms }) => vms.push({}));
  await bucket.edit(manifestKey(4), (manifest) => {
    manifest.checkpointChain = manifest.checkpointChain.map((id: string) => ({ id }));
  });
}

async function restoreForked(t: Test, bucket: Bucket, source: Source): Promise<void> {
  const document = await restoreAll(t, { bucket, source, step: 4 });
  const base = { checkpoint: bucket.id(1), proof: 'type' };
  t.match(document.pvcs, [
    { name: 'root', base, order: 'index' },
    { name: 'data', base, order: 'index' },
  ]);
  const targets = ['--pvc', `root=${join(tempFolder(t), 'root.raw')}`];
  const failed = await sharedCli(['plan', ...source.flags, '--vm', 'demo/web', '--backup', 'b2', ...targets], source);
  t.equal(failed.exitCode, 4);
  t.match(failed.stderr, /CHAIN_BROKEN.*the backup of checkpoint vmb-2-\S+ failed: .*no space/);
}

test('a forked time line, a failed backup and leftovers of the uploader, from a directory and from a bucket', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp', ...RGW_TOOLS)) return;
  const bucket = await makeBucket(t, FORKED);
  await leaveAsUploader(bucket);
  await restoreForked(t, bucket, { flags: ['--source', bucket.folder], env: {} });
  const rgw = await startRgw(t);
  const name = await rgw.createBucket();
  await rgw.putFolder(name, bucket.folder, 'velero-kubevirt-datamover/');
  await restoreForked(t, bucket, bucketSource(rgw, name));
});

test('lists, plans and restores while documents go, from a directory', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, MIXED);
  const source = { flags: ['--source', bucket.folder], env: {} };
  await loseDocuments(t, bucket, source, async (key) => await rm(join(bucket.folder, key)));
});

test('lists, plans and restores while documents go, from a bucket', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp', ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await makeBucket(t, MIXED);
  const name = await rgw.createBucket();
  await rgw.putFolder(name, bucket.folder, 'velero-kubevirt-datamover/');
  const { DeleteObjectCommand } = await import('@aws-sdk/client-s3');
  const remove = async (key: string): Promise<void> => {
    await rgw.client.send(new DeleteObjectCommand({ Bucket: name, Key: `velero-kubevirt-datamover/${key}` }));
  };
  await loseDocuments(t, bucket, bucketSource(rgw, name), remove);
});

test('a plan that calls a partial layer full', async (t) => {
  if (!requires(t, 'qemu-img', 'cmp')) return;
  const bucket = await makeBucket(t, [{ disks: { root: 'ABCD' } }, { disks: { root: '-X--' }, alone: ['root'] }]);
  const folder = tempFolder(t);
  const plan = join(folder, 'plan.json');
  const target = join(folder, 'root.raw');
  const layer = { checkpoint: bucket.id(2), type: 'full', object: bucket.object(2, 'root') };
  const pvcs = [{ name: 'root', target, chain: [layer] }];
  await writeFile(plan, JSON.stringify({ version: 1, source: { directory: bucket.folder }, pvcs }));
  const restore = async () =>
    await json(['restore', plan, '--scratch', join(folder, 'scratch')], { flags: [], env: {} });
  for (const lost of [undefined, INDEX]) {
    await t.test(lost === undefined ? 'is refused by the index' : 'is refused by vmb.json alone', async (t) => {
      if (lost !== undefined) await rm(join(bucket.folder, lost));
      const { exitCode, document } = await restore();
      t.equal(exitCode, 4);
      t.match(document.error, { code: 'CHAIN_BROKEN', message: /its tables leave offset 0 to a parent/ });
      t.throws(() => readFileSync(target), 'nothing was written');
    });
  }
  await t.test('is restored with a warning where no document is left', async (t) => {
    await rm(join(bucket.folder, `checkpoints/demo/web/${bucket.id(2)}/vmb.json`));
    const { exitCode, document } = await restore();
    t.equal(exitCode, 0, document.error?.message);
    const warnings = [/only the plan says that it is a full backup: .* its tables leave offset 0 to a parent/];
    t.match(document.pvcs, [{ base: { proof: 'type' }, warnings }]);
  });
});
