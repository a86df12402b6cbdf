// What `--dry-run` says of requests and bytes, held against what the server was asked by the run that follows.
import { type Test, test } from 'tap';
import { z } from 'zod';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, planFor, uploadBucket } from '../helpers/backup.ts';
import { type Peer, startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';

const TOOLS = [...BACKUP_TOOLS, ...RGW_TOOLS];

const DRY_RUN = z.object({
  dryRun: z.object({ bytesToFetch: z.number(), requestsToSend: z.number().nullable(), scratchNeeded: z.number() }),
});

interface Behind {
  readonly rgw: Rgw;
  readonly made: BackupForTest;
  readonly bucket: string;
  readonly peer: Peer;
}

async function behindPeer(t: Test): Promise<Behind> {
  const rgw = await startRgw(t);
  const disk = { name: 'rootdisk', size: 64 * MiB, initial: { bytes: 24 * MiB }, changes: { bytes: 4 * MiB } };
  const made = await madeBackup(t, { disks: [disk], checkpoints: 3 });
  const bucket = await uploadBucket(rgw, made);
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  return { rgw, made, bucket, peer };
}

interface Compared {
  readonly said: z.infer<typeof DRY_RUN>['dryRun'];
  /** Of the run. */
  readonly requests: number;
  readonly fetched: number;
  readonly text: string;
}

/** A dry run, the same as text, and the run. */
async function compare(
  t: Test,
  { rgw, made, bucket, peer }: Behind,
  chains: 'written' | 'looked-up',
  ...flags: string[]
): Promise<Compared> {
  const target = `${made.folder}/${crypto.randomUUID()}.${flags.includes('qcow2') ? 'qcow2' : 'raw'}`;
  const given = flags.filter((flag) => flag !== 'qcow2');
  const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
  const plan = await planFor(made, 'backup-003', { rootdisk: target }, { s3, chains });
  const dry = await sharedCli(['restore', plan, '--dry-run', '--output', 'json', ...given], { env: rgw.env });
  const { stdout } = await sharedCli(['restore', plan, '--dry-run', ...given], { env: rgw.env });
  const before = peer.requests.length;
  const run = await runRestore(plan, given, rgw.env);
  t.equal(run.exitCode, 0, run.document.error?.message ?? 'completes');
  const requests = peer.requests.length - before;
  const said = DRY_RUN.parse(JSON.parse(dry.stdout)).dryRun;
  return { said, requests, fetched: run.document.pvcs[0]?.bytesFetched ?? 0, text: stdout };
}

test('requests and bytes of a dry run are those of the run', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const behind = await behindPeer(t);
  for (const chains of ['written', 'looked-up'] as const) {
    await t.test(`staged, chains ${chains}`, async (t) => {
      const { said, requests, fetched, text } = await compare(t, behind, chains);
      t.equal(said.requestsToSend, requests);
      t.equal(said.bytesToFetch, fetched);
      t.match(text, new RegExp(`^to fetch: .* in ${requests} requests$`, 'm'));
    });
  }
  await t.test('staged, in small parts', async (t) => {
    const { said, requests, fetched } = await compare(t, behind, 'written', `--part-size=${256 * KiB}`);
    t.ok(requests > fetched / (256 * KiB));
    t.equal(said.requestsToSend, requests);
  });
  await t.test('stream', async (t) => {
    const { said, requests, fetched } = await compare(t, behind, 'written', '--strategy=stream');
    t.ok(Math.abs((said.requestsToSend ?? 0) - requests) <= 2, `${said.requestsToSend} said, ${requests} sent`);
    t.ok(Math.abs(said.bytesToFetch - fetched) <= 64 * KiB, `${said.bytesToFetch} said, ${fetched} fetched`);
  });
  await t.test('stream through qemu, an estimate', async (t) => {
    const { said, requests, fetched } = await compare(t, behind, 'written', '--strategy=stream', 'qcow2');
    t.ok(said.requestsToSend !== null && said.requestsToSend > requests / 2 && said.requestsToSend < requests * 2);
    t.ok(said.bytesToFetch > fetched / 2 && said.bytesToFetch < fetched * 2);
  });
});

test('a directory has no requests', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 8 * MiB }], checkpoints: 1 });
  const plan = await planFor(made, 'backup-001', { rootdisk: `${made.folder}/disk.raw` });
  const { stdout } = await sharedCli(['restore', plan, '--dry-run', '--output', 'json']);
  t.equal(DRY_RUN.parse(JSON.parse(stdout)).dryRun.requestsToSend, null);
  t.match((await sharedCli(['restore', plan, '--dry-run'])).stdout, /^to fetch: [\d.]+ [KM]iB$/m);
});
