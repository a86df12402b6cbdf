// A backup in Google Cloud Storage, as the translator speaks it: list → plan → restore, verify, download, a killed run, and no secret anywhere.
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { externalAccount, type Gcs, SUBJECT_TOKEN, startGcs } from '../helpers/gcs.ts';
import { startGoogleHosts } from '../helpers/google-hosts.ts';
import { type Peer, startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const PREFIX = 'velero-kubevirt-datamover';
const BACKUP = 'backup-003';

interface Stage {
  readonly gcs: Gcs;
  readonly bucket: string;
  readonly made: BackupForTest;
  readonly peer: Peer;
  /** The service account's file. */
  readonly key: string;
}

async function stageOf(t: Test, size = 12 * MiB): Promise<Stage> {
  const gcs = await startGcs(t);
  const bucket = await gcs.createBucket();
  const made = await madeBackup(t, {
    disks: [{ name: 'rootdisk', size, pvc: 'web-root' }],
    checkpoints: 3,
    prefix: PREFIX,
  });
  await gcs.rgw.putFolder(bucket, made.bucket);
  const peer = await startPeer({ upstream: gcs.origin }, t);
  return { gcs, bucket, made, peer, key: gcs.credentials() };
}

async function planOf({ made, bucket, peer, key }: Stage, target: string, extra: object = {}): Promise<string> {
  const gcs = { bucket, prefix: PREFIX, endpoint: peer.endpoint, credentialsFile: key, ...extra };
  const edit = (document: { source: object }): void => {
    document.source = { gcs };
  };
  return await planFor(made, BACKUP, { rootdisk: target }, { edit });
}

const truth = ({ made }: Stage): string => truthOf(made, BACKUP, 'rootdisk');

test('list, plan, restore and verify by flags', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t);
  const { gcs, bucket, made, peer, key } = stage;
  const env = { GOOGLE_APPLICATION_CREDENTIALS: key };
  const source = ['--source', `gs://${bucket}/${PREFIX}`, '--endpoint', peer.endpoint];
  const listed = await sharedCli(['list', ...source, '--output', 'json'], { env });
  t.equal(listed.exitCode, 0, listed.stderr);
  t.match(JSON.parse(listed.stdout), { result: 'ok', problems: [], vms: [{ disks: [{ name: 'rootdisk' }] }] });
  t.match(listed.stderr, /Google Cloud Storage is experimental/);
  for (const strategy of ['staged', 'staged-raw', 'stream']) {
    gcs.composite = strategy === 'staged';
    const target = join(made.folder, `${strategy}.raw`);
    const args = ['--vm', 'demo/web', '--backup', BACKUP, '--pvc', `rootdisk=${target}`, '--credentials-file', key];
    const plan = await sharedCli(['plan', ...source, ...args]);
    t.equal(plan.exitCode, 0, plan.stderr);
    t.match(plan.stdout, new RegExp(`gcs:\\n {4}bucket: ${bucket}`));
    const scratch = ['--scratch', join(made.folder, 'scratch'), '--strategy', strategy, '--verify', 'compare'];
    const run = await sharedCli(['restore', '-', ...scratch, '--output', 'json'], { stdin: plan.stdout });
    t.equal(run.exitCode, 0, run.stderr);
    const { pvcs } = JSON.parse(run.stdout);
    t.match(pvcs, [{ state: 'restored', verified: true }]);
    t.notOk('warnings' in pvcs[0], 'no warning');
    const checksum = { staged: 'crc32c', 'staged-raw': 'md5', stream: undefined }[strategy];
    if (checksum !== undefined) t.ok(run.stdout.includes(`"${checksum}"`), `${checksum} was compared`);
    t.equal(await difference(target, truth(stage)), undefined, `${strategy}: identical`);
  }
  const verified = await sharedCli(['verify', await planOf(stage, '/dev/nowhere'), '--data']);
  t.equal(verified.exitCode, 0, verified.stderr);
});

test("download, with the variables and the Secret of the operator's pod", async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, 'openssl')) return;
  const stage = await stageOf(t);
  const { gcs, bucket, made } = stage;
  const target = join(made.folder, 'restore', 'disk.raw');
  const variables = {
    BSL_PROVIDER: 'velero.io/gcp',
    BSL_BUCKET: bucket,
    BSL_PREFIX: PREFIX,
    CREDENTIALS_FILE: gcs.credentials({ token_uri: undefined }),
    VM_NAME: 'web',
    VM_NAMESPACE: 'demo',
    VELERO_BACKUP_NAME: BACKUP,
    TARGET_VOLUME: 'web-root',
    TARGET_PATH: target,
    SCRATCH_PATH: join(made.folder, 'scratch'),
  };
  const env = Object.fromEntries(Object.entries(variables).map(([name, value]) => [`KUBEVIRT_DM_${name}`, value]));
  // The operator names no endpoint.
  const hosts = await startGoogleHosts(t, gcs);
  const run = await sharedCli(['download'], { env: { ...env, ...hosts.env, KUBEVIRT_DM_BSL_CA_CERT: hosts.ca } });
  t.equal(run.exitCode, 0, run.stderr);
  t.strictSame([...new Set(hosts.asked)].sort(), ['oauth2.googleapis.com:443', 'storage.googleapis.com:443']);
  t.equal(await difference(target, truth(stage)), undefined);
});

test('a checksum that differs', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t);
  const { gcs, made } = stage;
  gcs.headers.set('.qcow2', { 'x-goog-hash': 'crc32c=BwcHBw==' });
  const run = await sharedCli(['restore', await planOf(stage, join(made.folder, 'disk.raw')), '--output', 'json']);
  t.equal(run.exitCode, 4);
  t.match(JSON.parse(run.stdout), {
    error: { code: 'CHECKSUM_MISMATCH', message: /crc32c mismatch: expected 07070707/ },
  });
});

test('a killed run resumes, under faults and with tokens that expire', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t, 24 * MiB);
  const { gcs, made, peer } = stage;
  const target = join(made.folder, 'disk.raw');
  const plan = await planOf(stage, target);
  const total = made.checkpoints.reduce((sum, { layers }) => sum + (layers[0]?.size ?? 0), 0);
  const args = ['--part-size', '256Ki', '--concurrency', '4'];
  peer.plan = ({ range }) =>
    range !== undefined && range.last - range.first >= 100 * KiB && peer.bytes('.qcow2') > total / 2
      ? { kind: 'stall', after: 1000 }
      : undefined;
  const killed = watchRestore(t, plan, args);
  await killed.untilPhase('download');
  while (peer.requests.filter(({ fault, sent }) => fault !== undefined && sent >= 1000).length < 4) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  killed.child.kill('SIGKILL');
  if (killed.child.exitCode === null && killed.child.signalCode === null) await once(killed.child, 'exit');
  const before = peer.bytes('.qcow2');
  peer.plan = ({ index }) => {
    if (index % 11 === 0) gcs.tokens.clear();
    return index % 5 === 0 ? { kind: index % 2 === 0 ? 'reset' : 'cut', after: 100 } : undefined;
  };
  const run = await sharedCli(['restore', plan, ...args, '--output', 'json']);
  t.equal(run.exitCode, 0, run.stderr);
  t.match(run.stderr, /resuming an interrupted restore/);
  t.ok(before >= total / 2);
  t.ok(JSON.parse(run.stdout).pvcs[0].bytesFetched < 0.8 * total, 'the rest alone is fetched');
  t.equal(await difference(target, truth(stage)), undefined);
});

test('a layer that is replaced during the run', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t);
  const { made, peer } = stage;
  for (const strategy of ['staged', 'stream']) {
    let reads = 0;
    peer.plan = ({ path, range }) => {
      if (!path.endsWith('.qcow2') || range === undefined || range.last < 64 * KiB) return undefined;
      reads += 1;
      return reads > 2 ? { kind: 'swap' } : undefined;
    };
    const target = join(made.folder, `swapped-${strategy}.raw`);
    const args = ['--strategy', strategy, '--part-size', '256Ki', '--output', 'json'];
    const run = await sharedCli(['restore', await planOf(stage, target), ...args]);
    t.equal(run.exitCode, 3, run.stderr);
    t.match(JSON.parse(run.stdout), { error: { code: 'OBJECT_CHANGED' } });
  }
});

test('no secret in logs, results, reports, and what a run leaves behind', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t);
  const { gcs, made, peer, key } = stage;
  const file = (name: string, text: string): string => {
    const path = join(tempFolder(t), name);
    writeFileSync(path, text);
    return path;
  };
  const cut = readFileSync(key, 'utf8').slice(0, 1500);
  const cases: [string, object, NodeJS.ProcessEnv, number, RegExp][] = [
    ['key', {}, {}, 0, /./],
    ['external account', { credentialsFile: externalAccount(gcs, t) }, {}, 0, /./],
    ['key of another account', { credentialsFile: gcs.credentials({ client_email: 'x@y' }) }, {}, 3, /does not exist/],
    ['file that is cut short', { credentialsFile: file('cloud', cut) }, {}, 2, /is not JSON/],
    ['file of AWS', { credentialsFile: file('cloud', 'aws_secret_access_key=SECRET\n') }, {}, 2, /file of AWS/],
    ['no bucket', { bucket: 'nothing-here' }, {}, 3, /bucket "nothing-here" at .* does not exist/],
  ];
  for (const [name, extra, env, exitCode, said] of cases) {
    await t.test(name, async (t) => {
      peer.plan = ({ index }) => (index % 7 === 0 ? { kind: index % 2 === 0 ? 'garbage' : 'reset' } : undefined);
      const target = join(made.folder, 'disk.raw');
      rmSync(target, { force: true });
      const report = join(tempFolder(t), 'report.json');
      const args = ['--log-level', 'debug', '--output', 'json', '--report', report];
      const run = await sharedCli(['restore', await planOf(stage, target, extra), ...args], { env });
      t.equal(run.exitCode, exitCode, run.stderr);
      t.match(run.stderr + run.stdout, said);
      const scratch = join(made.folder, 'scratch');
      const left = readdirSync(made.folder, { recursive: true, encoding: 'utf8' })
        .map((path) => join(made.folder, path))
        .filter((path) => path.startsWith(scratch) && statSync(path).isFile())
        .map((path) => readFileSync(path, 'latin1'));
      const body = gcs.key.split('\n')[1] ?? 'x';
      const secrets = [...gcs.tokens, body, 'PRIVATE KEY', 'ya29.', 'Bearer ', 'eyJ', SUBJECT_TOKEN, 'SECRET'];
      for (const text of [run.stdout, run.stderr, readFileSync(report, 'utf8'), ...left]) {
        for (const secret of secrets) t.notOk(text.includes(secret), 'nothing secret');
      }
    });
  }
});
