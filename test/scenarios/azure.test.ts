// A backup in Azure, on a real server: list → plan → restore, verify, serve's strategies, a killed run, and no secret anywhere.
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { KiB, MiB } from '../../src/units.ts';
import { AZURITE_TOOLS, type Azurite, startAzurite } from '../helpers/azurite.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { CLIENT, startEntra, TENANT } from '../helpers/entra.ts';
import { type Peer, startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const PREFIX = 'velero-kubevirt-datamover';
const BACKUP = 'backup-003';

interface Stage {
  readonly azurite: Azurite;
  readonly container: string;
  readonly made: BackupForTest;
  readonly peer: Peer;
  readonly endpoint: string;
}

async function stageOf(t: Test, size = 12 * MiB): Promise<Stage> {
  const azurite = await startAzurite(t);
  const container = await azurite.createContainer();
  const made = await madeBackup(t, {
    disks: [{ name: 'rootdisk', size, pvc: 'web-root' }],
    checkpoints: 3,
    prefix: PREFIX,
  });
  await azurite.putFolder(container, made.bucket);
  const peer = await startPeer({ upstream: azurite.origin }, t);
  return { azurite, container, made, peer, endpoint: `${peer.endpoint}/${azurite.account}` };
}

async function planOf(
  { made, azurite, container, endpoint }: Stage,
  target: string,
  extra: object = {},
): Promise<string> {
  return await planFor(
    made,
    BACKUP,
    { rootdisk: target },
    {
      edit: (document) => {
        document.source = { azure: { account: azurite.account, container, prefix: PREFIX, endpoint, ...extra } };
      },
    },
  );
}

const truth = ({ made }: Stage): string => truthOf(made, BACKUP, 'rootdisk');

test('list, plan, restore and verify by flags', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...AZURITE_TOOLS)) return;
  const stage = await stageOf(t);
  const { azurite, container, made, endpoint } = stage;
  const sas = join(made.folder, 'sas');
  writeFileSync(sas, azurite.sas(container));
  const source = ['--source', `azure://${azurite.account}/${container}/${PREFIX}`, '--endpoint', endpoint];
  const listed = await sharedCli(['list', ...source, '--output', 'json'], { env: azurite.env });
  t.equal(listed.exitCode, 0, listed.stderr);
  t.match(JSON.parse(listed.stdout), { result: 'ok', problems: [], vms: [{ disks: [{ name: 'rootdisk' }] }] });
  for (const strategy of ['staged', 'staged-raw', 'stream']) {
    const target = join(made.folder, `${strategy}.raw`);
    const args = ['--vm', 'demo/web', '--backup', BACKUP, '--pvc', `rootdisk=${target}`, '--sas-token-file', sas];
    const plan = await sharedCli(['plan', ...source, ...args]);
    t.equal(plan.exitCode, 0, plan.stderr);
    t.match(plan.stdout, /azure:\n {4}account: testaccount/);
    const scratch = ['--scratch', join(made.folder, 'scratch'), '--strategy', strategy, '--verify', 'compare'];
    const run = await sharedCli(['restore', '-', ...scratch, '--output', 'json'], { stdin: plan.stdout });
    t.equal(run.exitCode, 0, run.stderr);
    t.match(JSON.parse(run.stdout), { result: 'ok', pvcs: [{ state: 'restored', verified: true }] });
    t.notOk(
      'warnings' in z.looseObject({}).parse(z.array(z.unknown()).parse(JSON.parse(run.stdout).pvcs)[0]),
      'no warning',
    );
    t.equal(await difference(target, truth(stage)), undefined, `${strategy}: identical`);
  }
  const verified = await sharedCli(['verify', await planOf(stage, '/dev/nowhere'), '--data'], { env: azurite.env });
  t.equal(verified.exitCode, 0, verified.stderr);
});

test("download, with the variables and the Secret of the operator's pod", async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...AZURITE_TOOLS)) return;
  const stage = await stageOf(t);
  const { azurite, container, made, endpoint } = stage;
  const cloud = join(made.folder, 'cloud');
  const target = join(made.folder, 'restore', 'disk.raw');
  writeFileSync(cloud, `AZURE_CLOUD_NAME=AzurePublicCloud\nMY_KEY=${azurite.key}\n`);
  const variables = {
    BSL_PROVIDER: 'azure',
    BSL_BUCKET: container,
    BSL_PREFIX: PREFIX,
    BSL_STORAGE_ACCOUNT: azurite.account,
    BSL_STORAGE_ACCOUNT_URI: endpoint,
    BSL_STORAGE_ACCOUNT_KEY_ENV_VAR: 'MY_KEY',
    CREDENTIALS_FILE: cloud,
    VM_NAME: 'web',
    VM_NAMESPACE: 'demo',
    VELERO_BACKUP_NAME: BACKUP,
    TARGET_VOLUME: 'web-root',
    TARGET_PATH: target,
    SCRATCH_PATH: join(made.folder, 'scratch'),
  };
  const env = Object.fromEntries(Object.entries(variables).map(([name, value]) => [`KUBEVIRT_DM_${name}`, value]));
  const run = await sharedCli(['download'], { env });
  t.equal(run.exitCode, 0, run.stderr);
  t.equal(await difference(target, truth(stage)), undefined);
});

test('an identity, by the program as it is installed', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...AZURITE_TOOLS, 'openssl')) return;
  const entra = await startEntra(t);
  const azurite = await startAzurite(t, { tls: entra.certificates });
  const container = await azurite.createContainer();
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 4 * MiB }], checkpoints: 1 });
  await azurite.putFolder(container, made.bucket, `${PREFIX}/`);
  const secret = 'client-secret-EXAMPLE~1';
  const env = { ...entra.env, AZURE_TENANT_ID: TENANT, AZURE_CLIENT_ID: CLIENT, AZURE_CLIENT_SECRET: secret };
  const source = `azure://${azurite.account}/${container}/${PREFIX}`;
  const args = ['--endpoint', azurite.endpoint, '--ca-file', entra.certificates.caFile, '--log-level', 'debug'];
  const good = await sharedCli(['list', '--source', source, ...args], { env });
  t.equal(good.exitCode, 0, good.stderr);
  t.match(good.stdout, /rootdisk/);
  entra.refusal = 7000215;
  const bad = await sharedCli(['list', '--source', source, ...args], { env });
  t.equal(bad.exitCode, 3);
  t.match(bad.stderr, /the client secret is wrong \(AADSTS7000215\)/);
  for (const { stdout, stderr } of [good, bad]) {
    t.notMatch(stdout + stderr, new RegExp(`${secret}|Bearer |eyJ`), 'nothing secret');
  }
});

test('the MD5 that a blob has is compared', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...AZURITE_TOOLS)) return;
  const stage = await stageOf(t);
  const { azurite, container, made } = stage;
  const layer = made.checkpoints[0]?.layers[0];
  if (layer === undefined) throw new Error('no layer');
  const blob = azurite.service.getContainerClient(container).getBlockBlobClient(`${PREFIX}/${layer.object}`);
  const headers = { blobContentMD5: Buffer.alloc(16, 7) };
  await blob.setHTTPHeaders(headers);
  const args = ['--output', 'json'];
  const run = await sharedCli(['restore', await planOf(stage, join(made.folder, 'disk.raw')), ...args], {
    env: azurite.env,
  });
  t.equal(run.exitCode, 4);
  t.match(JSON.parse(run.stdout), { error: { code: 'CHECKSUM_MISMATCH', message: /md5 mismatch: expected 0707/ } });
});

test('a killed run resumes, under faults', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...AZURITE_TOOLS)) return;
  const stage = await stageOf(t, 24 * MiB);
  const { azurite, made, peer } = stage;
  const target = join(made.folder, 'disk.raw');
  const plan = await planOf(stage, target);
  const total = made.checkpoints.reduce((sum, { layers }) => sum + (layers[0]?.size ?? 0), 0);
  const args = ['--part-size', '256Ki', '--concurrency', '4'];
  peer.plan = ({ range }) =>
    range !== undefined && range.last - range.first >= 100 * KiB && peer.bytes('.qcow2') > total / 2
      ? { kind: 'stall', after: 1000 }
      : undefined;
  const killed = watchRestore(t, plan, args, { env: azurite.env });
  await killed.untilPhase('download');
  while (peer.requests.filter(({ fault, sent }) => fault !== undefined && sent >= 1000).length < 4) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  killed.child.kill('SIGKILL');
  if (killed.child.exitCode === null && killed.child.signalCode === null) await once(killed.child, 'exit');
  const before = peer.bytes('.qcow2');
  peer.plan = ({ index }) => (index % 5 === 0 ? { kind: index % 2 === 0 ? 'reset' : 'cut', after: 100 } : undefined);
  const run = await sharedCli(['restore', plan, ...args, '--output', 'json'], { env: azurite.env });
  t.equal(run.exitCode, 0, run.stderr);
  t.match(run.stderr, /resuming an interrupted restore/);
  t.ok(before >= total / 2);
  t.ok(JSON.parse(run.stdout).pvcs[0].bytesFetched < 0.8 * total, 'the rest alone is fetched');
  t.equal(await difference(target, truth(stage)), undefined);
});

test('no secret in logs, results, reports, arguments, and what a run leaves behind', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...AZURITE_TOOLS)) return;
  const stage = await stageOf(t);
  const { azurite, container, made, peer } = stage;
  const token = azurite.sas(container);
  const old = azurite.sas(container, {
    startsOn: new Date(Date.now() - 7_200_000),
    expiresOn: new Date(Date.now() - 3_600_000),
  });
  const wrong = Buffer.from('another key of an account of tests').toString('base64');
  const file = (name: string, text: string): string => {
    const path = join(tempFolder(t), name);
    writeFileSync(path, text);
    return path;
  };
  const keyFile = (key: string): string => file('cloud', `AZURE_STORAGE_ACCOUNT_ACCESS_KEY=${key}\n`);
  const cases: [string, object, NodeJS.ProcessEnv, number, RegExp][] = [
    ['key', {}, azurite.env, 0, /./],
    ['key in a file', { credentialsFile: keyFile(azurite.key) }, {}, 0, /./],
    ['signature', { sasTokenFile: file('sas', token) }, {}, 0, /./],
    ['wrong key', { credentialsFile: keyFile(wrong) }, {}, 3, /the account key is wrong .*credentialsFile/s],
    ['expired signature', { sasTokenFile: file('sas', old) }, {}, 3, /signature expired at .*sasTokenFile/s],
    [
      'signature without list and read',
      { sasTokenFile: file('sas', azurite.sas(container, { permissions: 'w' })) },
      {},
      3,
      /does not permit read \(r\) and list \(l\)/,
    ],
    ['key that is no base64', {}, { AZURE_STORAGE_KEY: 'SECRET%' }, 3, /AZURE_STORAGE_KEY: invalid account key/],
    [
      'file of AWS',
      { credentialsFile: file('cloud', '[default]\naws_secret_access_key=SECRET\n') },
      {},
      2,
      /credentials file of AWS/,
    ],
    [
      'no container',
      { container: 'nothing-here' },
      azurite.env,
      3,
      /container "nothing-here" of account testaccount at .* does not exist/,
    ],
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
      for (const text of [run.stdout, run.stderr, readFileSync(report, 'utf8'), ...left]) {
        for (const secret of [
          azurite.key,
          wrong,
          'SharedKey',
          'sig=',
          'SECRET',
          new URLSearchParams(token).get('sig') ?? 'x',
        ]) {
          t.notOk(text.includes(secret) || text.includes(encodeURIComponent(secret)), 'nothing secret');
        }
      }
    });
  }
});
