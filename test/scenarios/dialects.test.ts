// Other stores and the proxies before them: list → plan → restore in every dialect, with each strategy, and an object that is replaced
// in the middle of a run, or between two, in each dialect that touches pins.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, truthOf, uploadBucket } from '../helpers/backup.ts';
import { type Peer, type PeerPlan, startPeer } from '../helpers/peer.ts';
import { type Dialect, OTHER_DIALECTS, PINNED_DIALECTS } from '../helpers/peer-dialect.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { parseDocument, type RestoreDocument } from '../helpers/restore.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';

const BACKUP = 'backup-003';
const STRATEGIES = ['staged', 'stream'] as const;

interface Setting {
  readonly rgw: Rgw;
  readonly made: BackupForTest;
  readonly bucket: string;
}

async function settingOf(t: Test): Promise<Setting> {
  const rgw = await startRgw(t);
  const made = await madeBackup(t, {
    // Small clusters: a read of tables is shorter than one of data.
    disks: [{ name: 'rootdisk', size: 12 * MiB, initial: { bytes: 6 * MiB }, clusterSize: 64 * KiB }],
    checkpoints: 3,
    prefix: 'velero-kubevirt-datamover',
  });
  const bucket = await uploadBucket(rgw, made);
  await rgw.openToAll(bucket);
  return { rgw, made, bucket };
}

function peerOf(t: Test, { rgw }: Setting, dialect: Dialect): Promise<Peer> {
  return startPeer({ upstream: rgw.endpoint, dialect }, t);
}

function sourceOf({ made, bucket }: Setting, { endpoint }: Pick<Peer, 'endpoint'>): string[] {
  return ['--source', `s3://${bucket}/${made.prefix}`, '--endpoint', endpoint, '--path-style'];
}

async function planOf(t: Test, setting: Setting, peer: Pick<Peer, 'endpoint'>, target: string): Promise<string> {
  const what = ['--vm', 'demo/web', '--backup', BACKUP, '--pvc', `rootdisk=${target}`];
  const plan = await sharedCli(['plan', ...sourceOf(setting, peer), ...what], { env: setting.rgw.env });
  t.equal(plan.exitCode, 0, plan.stderr);
  return plan.stdout;
}

/** One plan of the server itself, as if it were a peer's. */
async function plannerOf(t: Test, setting: Setting): Promise<(peer: Peer, target: string) => string> {
  const { endpoint } = setting.rgw;
  const plan = await planOf(t, setting, setting.rgw, '/target');
  return (peer, target) => plan.replaceAll(endpoint, peer.endpoint).replace('/target', target);
}

interface Run {
  readonly exitCode: number | null;
  readonly document: RestoreDocument;
  readonly stderr: string;
}

async function restore({ rgw, made }: Setting, plan: string, ...args: string[]): Promise<Run> {
  const scratch = join(made.folder, 'scratch');
  const run = await sharedCli(
    ['restore', '-', '--scratch', scratch, '--output', 'json', '--log-format', 'json', ...args],
    {
      env: rgw.env,
      stdin: plan,
    },
  );
  return { ...run, document: parseDocument(run.stdout) };
}

test('every dialect, from the listing to the disk', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const setting = await settingOf(t);
  const { rgw, made } = setting;
  const plain = await sharedCli(['list', ...sourceOf(setting, rgw), '--output', 'json'], { env: rgw.env });
  for (const [name, dialect] of Object.entries({ ...PINNED_DIALECTS, ...OTHER_DIALECTS })) {
    await t.test(name, async (t) => {
      const peer = await peerOf(t, setting, dialect);
      const listed = await sharedCli(['list', ...sourceOf(setting, peer), '--output', 'json'], { env: rgw.env });
      t.equal(listed.stdout, plain.stdout, 'list gives the same');
      const target = join(made.folder, `${crypto.randomUUID()}.raw`);
      const plan = await planOf(t, setting, peer, target);
      for (const strategy of name in PINNED_DIALECTS ? STRATEGIES : (['stream'] as const)) {
        const run = await restore(setting, plan, '--strategy', strategy);
        t.equal(run.exitCode, 0, run.document.error?.message ?? `${strategy} ends well`);
        t.notMatch(run.stderr, /"event":"retry"/, 'nothing is tried twice');
        t.equal(await difference(target, truthOf(made, BACKUP, 'rootdisk')), undefined, `${strategy} is identical`);
        rmSync(target, { force: true });
      }
    });
  }
});

/** Every byte is another one. */
function inverted(bytes: Uint8Array): Buffer {
  const other = Buffer.from(bytes);
  for (let at = 0; at < other.length; at += 1) other[at] = ~(other[at] ?? 0);
  return other;
}

/** Puts an object in the place of another of the same length, in another second: its first version comes back with `undo`. */
async function replace({ rgw, bucket }: Setting, key: string): Promise<{ undo(): Promise<void> }> {
  const where = { Bucket: bucket, Key: key };
  const bytes = await (await rgw.client.send(new GetObjectCommand(where))).Body?.transformToByteArray();
  if (bytes === undefined) throw new Error(`${key} has no body`);
  const modified = async (): Promise<number> =>
    (await rgw.client.send(new HeadObjectCommand(where))).LastModified?.getTime() ?? 0;
  const before = await modified();
  while (Date.now() < before + 1_100) await delay(50);
  await rgw.put(bucket, key, inverted(bytes));
  if ((await modified()) === before) throw new Error('it has the same time');
  return { undo: () => rgw.put(bucket, key, bytes) };
}

const isData: (request: Parameters<PeerPlan>[0]) => boolean = ({ range }) =>
  range !== undefined && range.last - range.first >= 128 * 1024;

test('an object that is replaced in mid-run', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const setting = await settingOf(t);
  const { made, bucket } = setting;
  const planFor = await plannerOf(t, setting);
  for (const [name, dialect] of Object.entries(PINNED_DIALECTS)) {
    await t.test(name, async (t) => {
      const peer = await peerOf(t, setting, dialect);
      const target = join(made.folder, `${crypto.randomUUID()}.raw`);
      const plan = planFor(peer, target);
      for (const strategy of STRATEGIES) {
        let seen = 0;
        let replaced: ReturnType<typeof replace> | undefined;
        peer.plan = (request) => {
          if (!isData(request)) return undefined;
          seen += 1;
          // Some parts of the base are of the first version.
          if (seen < 3 && replaced === undefined) return undefined;
          replaced ??= replace(setting, request.path.replace(`/${bucket}/`, ''));
          return { kind: 'hold', until: replaced };
        };
        const run = await restore(setting, plan, '--strategy', strategy, '--part-size', '1Mi', '--concurrency', '1');
        peer.plan = () => undefined;
        t.equal(run.exitCode, 3, strategy);
        t.equal(run.document.error?.code, 'OBJECT_CHANGED', run.document.error?.message ?? 'no error');
        t.match(run.document.error?.message, /vmb-00\d-rootdisk\.qcow2/);
        await (await replaced)?.undo();
      }
    });
  }
});

test('an object that is replaced between two runs', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const setting = await settingOf(t);
  const { made } = setting;
  const planFor = await plannerOf(t, setting);
  const base = made.checkpoints[0]?.layers[0];
  if (base === undefined) throw new Error('no base');
  const key = `${made.prefix}/${base.object}`;
  for (const name of ['weak ETags', 'no ETag at all']) {
    await t.test(name, async (t) => {
      const peer = await peerOf(t, setting, PINNED_DIALECTS[name] ?? {});
      const target = join(made.folder, `${crypto.randomUUID()}.raw`);
      const plan = planFor(peer, target);
      const args = ['--part-size', '1Mi', '--concurrency', '1'];
      const interrupted = async (): Promise<void> => {
        let seen = 0;
        peer.plan = (request) =>
          isData(request) && ++seen > 4 ? { kind: 'status', status: 403, code: 'AccessDenied' } : undefined;
        const run = await restore(setting, plan, ...args);
        peer.plan = () => undefined;
        t.equal(run.document.error?.code, 'ACCESS_DENIED');
      };
      await interrupted();
      const all = made.checkpoints.reduce((sum, { layers }) => sum + (layers[0]?.size ?? 0), 0);
      const resumed = await restore(setting, plan, ...args);
      t.equal(resumed.exitCode, 0, resumed.document.error?.message ?? 'resumed');
      t.ok((resumed.document.pvcs[0]?.bytesFetched ?? 0) <= all - 3 * MiB, 'the same object: its parts are kept');
      rmSync(target);
      await interrupted();
      const { undo } = await replace(setting, key);
      const other = await restore(setting, plan, ...args);
      t.not(other.exitCode, 0, 'other bytes are no layer');
      await undo();
      const again = await restore(setting, plan, ...args);
      t.equal(again.exitCode, 0, again.document.error?.message ?? 'restored');
      t.equal(await difference(target, truthOf(made, BACKUP, 'rootdisk')), undefined, 'identical');
      rmSync(target);
    });
  }
});
