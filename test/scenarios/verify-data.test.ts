// `verify --data`: what it calls whole it has read, and what it reads it compares with every sum that is known of it.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, planFor, uploadBucket } from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { type PeerPlan, startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { type RunCliOptions, startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BACKUP = 'backup-002';
const TARGETS = { rootdisk: '/dev/no-such-root', datadisk: '/dev/no-such-data' };

const schema = z.object({
  result: z.enum(['ok', 'failed', 'cancelled']),
  error: z.object({ code: z.string() }).optional(),
  pvcs: z.array(
    z.object({
      name: z.string(),
      verdict: z.enum(['ok', 'suspect', 'broken']),
      problems: z.array(z.object({ pvc: z.string(), code: z.string(), message: z.string(), hint: z.string() })),
      layers: z.array(z.object({ checked: z.array(z.string()) })),
    }),
  ),
});

async function backupOf(t: Test): Promise<BackupForTest> {
  const disks = [
    { name: 'rootdisk', size: 16 * MiB, initial: { bytes: 4 * MiB } },
    { name: 'datadisk', size: 8 * MiB, initial: { bytes: 2 * MiB } },
  ] as const;
  return await madeBackup(t, { disks, checkpoints: 2 });
}

/** The layer of a disk at a checkpoint, the first being 0. */
function layerOf({ checkpoints }: BackupForTest, checkpoint: number, disk: string) {
  const layer = checkpoints[checkpoint]?.layers.find((one) => one.disk === disk);
  if (layer === undefined) throw new Error(`no layer of ${disk}`);
  return layer;
}

async function verify(args: readonly string[], options: RunCliOptions = {}) {
  const { exitCode, stdout, stderr } = await sharedCli(['verify', ...args, '--data', '--output', 'json'], options);
  return { exitCode, stderr, document: schema.parse(JSON.parse(stdout)) };
}

test('scratch that cannot be used: nothing was read, so nothing is whole', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t);
  const plan = await planFor(made, BACKUP, TARGETS);
  const { exitCode, document } = await verify([plan, '--scratch', plan]);
  t.equal(exitCode, 5);
  t.equal(document.error?.code, 'SCRATCH_UNUSABLE');
  for (const { name, verdict, problems } of document.pvcs) {
    t.equal(verdict, 'suspect', name);
    t.match(problems, [
      { pvc: name, code: 'SCRATCH_UNUSABLE', message: /not read to the end: scratch .* is not a directory/ },
    ]);
  }
  const { stdout } = await sharedCli(['verify', plan, '--data', '--scratch', plan]);
  t.match(stdout, /rootdisk +suspect .*\ndatadisk +suspect .*\nsuspect: rootdisk: its data was not read to the end: /);
});

test('SIGTERM while the second disk is read: the first is whole, the second is not', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await backupOf(t);
  for (const [name, scratch] of [
    ['in scratch', tempFolder(t)],
    ['where it lies', undefined],
  ] as const) {
    await t.test(name, async (t) => {
      const plan = await planFor(made, BACKUP, TARGETS, { edit: (document) => delete document.scratch });
      const gate = gateBefore(t, '^check', { nth: 4 });
      const args = scratch === undefined ? [] : ['--scratch', scratch];
      const { child, result } = startCli(['verify', plan, '--data', '--output', 'json', ...args], {
        env: { ...gate.env, XDG_RUNTIME_DIR: join(made.folder, 'run') },
      });
      await gate.reached();
      child.kill('SIGTERM');
      const { exitCode, stdout } = await result;
      t.equal(exitCode, 143);
      const document = schema.parse(JSON.parse(stdout));
      t.match(document, { result: 'cancelled', error: { code: 'CANCELLED' } });
      t.match(document.pvcs, [
        { name: 'rootdisk', verdict: 'ok', problems: [] },
        { name: 'datadisk', verdict: 'suspect', problems: [{ pvc: 'datadisk', code: 'CANCELLED' }] },
      ]);
    });
  }
});

test('a dirty layer is told and not repaired, in scratch as where it lies', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t);
  const { path, object } = layerOf(made, 1, 'rootdisk');
  const bytes = readFileSync(path);
  // The dirty bit, and a refcount that was not written yet: of the last cluster that has one.
  bytes[79] = (bytes[79] ?? 0) | 1;
  const block = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(48))));
  let entry = block;
  while (bytes.readUInt16BE(entry + 2) !== 0) entry += 2;
  bytes.writeUInt16BE(0, entry);
  writeFileSync(path, bytes);
  const plan = await planFor(made, BACKUP, TARGETS, { edit: (document) => delete document.scratch });
  for (const args of [[], ['--scratch', join(made.folder, 'scratch')]]) {
    const { exitCode, document, stderr } = await verify([plan, ...args]);
    t.equal(exitCode, 0, stderr);
    t.match(document.pvcs, [
      { verdict: 'suspect', problems: [{ message: `${object} was not closed cleanly (dirty bit)` }] },
      { verdict: 'ok', problems: [] },
    ]);
    t.strictSame(
      document.pvcs[0]?.layers.map(({ checked }) => checked.includes('image')),
      [true, false],
    );
  }
  t.strictSame(readFileSync(path), bytes, 'the source is left alone');
});

test('layers of one size that were swapped are found by the sha256 of the plan', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const disks = [{ name: 'rootdisk', size: 16 * MiB, initial: { bytes: 4 * MiB } }] as const;
  const made = await madeBackup(t, { disks, checkpoints: 3 });
  const [a, b] = [layerOf(made, 1, 'rootdisk').path, layerOf(made, 2, 'rootdisk').path];
  const size = Math.max(readFileSync(a).length, readFileSync(b).length);
  const [first, second] = [a, b].map((path) =>
    Buffer.concat([readFileSync(path), Buffer.alloc(size)]).subarray(0, size),
  );
  for (const [path, bytes] of [
    [a, first],
    [b, second],
  ] as const)
    writeFileSync(path, bytes ?? '');
  const plan = await planFor(
    made,
    'backup-003',
    { rootdisk: TARGETS.rootdisk },
    {
      sha256: true,
      edit: (document) => {
        delete document.scratch;
        for (const layer of document.pvcs[0]?.chain?.slice(1) ?? []) layer.size = size;
      },
    },
  );
  const scratch = ['--scratch', join(made.folder, 'scratch')];
  t.match(await verify([plan]), { exitCode: 0, document: { pvcs: [{ verdict: 'ok' }] } });
  writeFileSync(a, second ?? '');
  writeFileSync(b, first ?? '');
  for (const args of [[], scratch]) {
    const { exitCode, document } = await verify([plan, ...args]);
    t.equal(exitCode, 4);
    t.equal(document.pvcs[0]?.verdict, 'broken');
    t.match(document.pvcs[0]?.problems, [{ code: 'CHECKSUM_MISMATCH' }, { code: 'CHECKSUM_MISMATCH' }]);
  }
  t.equal((await verify([plan, '--no-checksums'])).exitCode, 0, 'nothing else shows it');
  t.notOk(existsSync(scratch[1] ?? ''), 'nothing is left');
});

test('the full-object sums that the store keeps are compared', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const made = await backupOf(t);
  const rgw = await startRgw(t);
  const bucket = await uploadBucket(rgw, made);
  const sums = new Map(
    made.checkpoints
      .flatMap(({ layers }) => layers)
      .map(({ object, path }) => [object, createHash('sha256').update(readFileSync(path)).digest()]),
  );
  /** The server's own answers, with the sums that it would have kept of an upload with them; `wrong` is one byte off. */
  const summed =
    (wrong?: string): PeerPlan =>
    ({ method, path }) => {
      const [object, sum] = [...sums].find(([key]) => path.endsWith(key)) ?? [];
      if (method !== 'HEAD' || sum === undefined) return undefined;
      const told = Buffer.from(sum);
      if (object === wrong) told[0] = (told[0] ?? 0) ^ 1;
      const add = { 'x-amz-checksum-sha256': told.toString('base64'), 'x-amz-checksum-type': 'FULL_OBJECT' };
      return { kind: 'headers', add };
    };
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
  const plan = await planFor(made, BACKUP, TARGETS, { s3, edit: (document) => delete document.scratch });
  const env = { ...rgw.env, XDG_RUNTIME_DIR: tempFolder(t) };
  for (const args of [[], ['--scratch', join(made.folder, 'scratch')]]) {
    peer.plan = summed();
    const good = await verify([plan, ...args], { env });
    t.equal(good.exitCode, 0, good.stderr);
    for (const { layers } of good.document.pvcs) {
      for (const { checked } of layers) t.strictSame(checked, ['size', 'header', 'sha256', 'image']);
    }
    peer.plan = summed(layerOf(made, 1, 'datadisk').object);
    const bad = await verify([plan, ...args], { env });
    t.equal(bad.exitCode, 4);
    t.match(bad.document.pvcs, [
      { verdict: 'ok', problems: [] },
      { verdict: 'broken', problems: [{ code: 'CHECKSUM_MISMATCH', message: /vmb-002-datadisk.*from the store/ }] },
    ]);
  }
});
