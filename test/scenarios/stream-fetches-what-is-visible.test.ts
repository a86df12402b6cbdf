// What a stream fetches, counted at the server: what the disk shows, once, and the layers' tables.
import { execFileSync } from 'node:child_process';
import { type Test, test } from 'tap';
import { z } from 'zod';
import type { BackupShape } from '../../scripts/lib/make-backup/shape.ts';
import { chainGraph, fileNode } from '../../src/qemu/graph.ts';
import { mapImage } from '../../src/qemu/map.ts';
import { KiB, MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  planFor,
  truthOf,
  uploadBucket,
} from '../helpers/backup.ts';
import { attachLoop, detachLoop } from '../helpers/loop-device.ts';
import { type Peer, startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { type RestoreRun, runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';

interface Streamed {
  readonly made: BackupForTest;
  readonly run: RestoreRun;
  readonly peer: Peer;
  readonly dryRun: number;
}

const TOOLS = [...BACKUP_TOOLS, ...RGW_TOOLS];
const BACKUP = 'backup-002';

/** Restores the second backup's only disk through a peer that counts, after a dry run. */
async function stream(t: Test, shape: BackupShape): Promise<Streamed> {
  const rgw = await startRgw(t);
  const made = await madeBackup(t, shape);
  const bucket = await uploadBucket(rgw, made);
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const target = `${made.folder}/disk.raw`;
  const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
  const plan = await planFor(made, BACKUP, { rootdisk: target }, { s3 });
  const dry = await sharedCli(['restore', plan, '--dry-run', '--strategy', 'stream', '--output', 'json'], {
    env: rgw.env,
  });
  const dryRun = z.object({ dryRun: z.object({ bytesToFetch: z.number() }) }).parse(JSON.parse(dry.stdout));
  const before = peer.bytes('.qcow2');
  const run = await runRestore(plan, ['--strategy', 'stream', '--log-format', 'json'], rgw.env);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
  t.equal(await difference(target, truthOf(made, BACKUP, 'rootdisk')), undefined, 'identical');
  const fetched = peer.bytes('.qcow2') - before;
  const counted = run.document.pvcs[0]?.bytesFetched ?? 0;
  t.ok(
    fetched >= counted && fetched - counted <= 2 * 4 * KiB,
    'the result says what was fetched, but for the headers of the check',
  );
  t.equal(fetchedInLog(run.stderr), counted, 'and so does the log');
  return { made, run, peer, dryRun: dryRun.dryRun.bytesToFetch };
}

/** What the end of the last phase tells. */
function fetchedInLog(stderr: string): unknown {
  const lines = stderr
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  const ends = lines.map((line) =>
    z.object({ event: z.literal('phase-finished'), fetched: z.number() }).safeParse(line),
  );
  return ends.findLast(({ success }) => success)?.data?.fetched;
}

async function visibleBytes(made: BackupForTest): Promise<number> {
  const [base, tip] = made.checkpoints.map(({ layers }) => fileNode(layers[0]?.path ?? ''));
  if (base === undefined || tip === undefined) throw new Error('two layers');
  let visible = 0;
  for await (const run of mapImage({ source: chainGraph([base, tip]), signal: new AbortController().signal })) {
    if (run.data) visible += run.length;
  }
  return visible;
}

test('a full that is half hidden in runs of 1 MiB', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const changes = { bytes: 32 * MiB, pattern: 'runs' as const };
  const disk = { name: 'rootdisk', size: 64 * MiB, initial: { bytes: 64 * MiB, pattern: 'runs' as const }, changes };
  const { made, run, dryRun } = await stream(t, { disks: [disk], checkpoints: 2 });
  const visible = await visibleBytes(made);
  const stored = made.checkpoints.reduce((sum, { layers }) => sum + (layers[0]?.size ?? 0), 0);
  const fetched = run.document.pvcs[0]?.bytesFetched ?? 0;
  t.ok(stored > 1.4 * visible, `much is hidden: ${stored} bytes are stored, ${visible} visible`);
  t.ok(fetched >= visible, 'nothing is made up');
  t.ok(fetched <= 1.1 * visible + MiB, `${fetched} bytes fetched for ${visible} visible`);
  t.ok(Math.abs(dryRun - fetched) < 0.01 * fetched, `the dry run said ${dryRun}`);
  t.equal(run.document.pvcs[0]?.scratchPeakBytes, 0);
});

test('scattered changes: hardly more than is stored, in few requests', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const disk = { name: 'rootdisk', size: 64 * MiB, initial: { bytes: 32 * MiB }, changes: { bytes: 8 * MiB } };
  const { made, run, peer } = await stream(t, { disks: [disk], checkpoints: 2 });
  const stored = made.checkpoints.reduce((sum, { layers }) => sum + (layers[0]?.size ?? 0), 0);
  t.ok((run.document.pvcs[0]?.bytesFetched ?? 0) <= 1.05 * stored + MiB);
  t.ok(peer.count('GET', '.qcow2') < 120, `${peer.count('GET', '.qcow2')} requests, the dry run's included`);
});

test('an almost empty disk of 1 TiB', async (t) => {
  if (!requires(t, ...TOOLS, 'root', 'losetup')) return;
  const rgw = await startRgw(t);
  const disks = [{ name: 'rootdisk', size: 4 * MiB }] as const;
  const made = await madeBackup(t, { like: 'other', disks, checkpoints: 2 });
  for (const { layers } of made.checkpoints)
    execFileSync('qemu-img', ['resize', '-q', '-f', 'qcow2', layers[0]?.path ?? '', '1T']);
  const bucket = await uploadBucket(rgw, made);
  const device = `${made.folder}/device`;
  execFileSync('truncate', ['--size', '1T', device]);
  const loop = attachLoop(device);
  t.teardown(() => detachLoop(loop));
  const edit = { edit: (document: { pvcs: { chain?: { size?: number }[] }[] }) => forgetSizes(document) };
  const plan = await planFor(made, BACKUP, { rootdisk: loop }, { s3: { rgw, bucket }, ...edit });
  const run = await runRestore(plan, ['--strategy', 'stream'], rgw.env);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
  t.equal(await difference(device, truthOf(made, BACKUP, 'rootdisk')), undefined, 'identical');
  t.ok((run.document.pvcs[0]?.bytesFetched ?? 0) < 12 * MiB);
});

/** They were resized after the plan's sizes were taken. */
function forgetSizes({ pvcs }: { readonly pvcs: { chain?: { size?: number }[] }[] }): void {
  for (const layer of pvcs[0]?.chain ?? []) delete layer.size;
}
