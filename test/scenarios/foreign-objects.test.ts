// A bucket, or a copy of it, in which other programs have left their own: every command works as if they were not there.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, difference, madeBackup, truthOf, uploadBucket } from '../helpers/backup.ts';
import { writeJson } from '../helpers/catalog.ts';
import { addForeignFiles, addForeignObjects } from '../helpers/foreign.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

const PLACE = { checkpoint: 'vmb-001-2025-11-01_02-00-00', backup: 'backup-001' };
const NEWEST = 'backup-003';
const PREFIX = 'velero-kubevirt-datamover';

/** With what the uploader leaves behind after a backup was deleted. */
async function madeHistory(t: Test): Promise<BackupForTest> {
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 8 * MiB }], checkpoints: 3, prefix: PREFIX });
  const read = (key: string) => JSON.parse(readFileSync(join(made.directory, key), 'utf8'));
  const index = read('checkpoints/demo/web/index.json');
  for (const checkpoint of index.checkpoints) checkpoint.referencedBy.push('');
  await writeJson(made.directory, 'checkpoints/demo/web/index.json', index);
  const backup = read(`manifests/${NEWEST}/index.json`);
  await writeJson(made.directory, `manifests/${NEWEST}/index.json`, { ...backup, vms: [{}, ...backup.vms] });
  const manifest = read(`manifests/${NEWEST}/demo-web.json`);
  const checkpointChain = manifest.checkpointChain.map((id: string) => ({ id, type: 'incremental' }));
  await writeJson(made.directory, `manifests/${NEWEST}/demo-web.json`, { ...manifest, checkpointChain });
  return made;
}

async function commands(
  t: Test,
  made: BackupForTest,
  source: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const run = async (args: readonly string[], stdin = ''): Promise<string> => {
    const { exitCode, stdout, stderr } = await sharedCli(args, { env, stdin });
    t.equal(exitCode, 0, `${args[0]}: ${stderr}`);
    t.notMatch(stderr, /warning/);
    return stdout;
  };
  t.match(JSON.parse(await run(['list', ...source, '--output', 'json'])), { result: 'ok', problems: [] });
  t.match(await run(['list', ...source]), /^backup-003 +.* demo\/web +vmb-003-2025-11-03_02-00-00$/m);
  const target = join(tempFolder(t), 'disk.raw');
  const plan = await run(['plan', ...source, '--vm', 'demo/web', '--pvc', `rootdisk=${target}`]);
  t.match(plan, /^backup: backup-003$/m, 'the newest');
  await run(['verify', '-', '--data'], plan);
  await run(['restore', '-', '--scratch', tempFolder(t)], plan);
  t.equal(await difference(target, truthOf(made, NEWEST, 'rootdisk')), undefined);
}

test('in a directory', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await madeHistory(t);
  await addForeignFiles(t, made.directory, PLACE);
  await commands(t, made, ['--source', made.directory], {});
});

test('in a bucket', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const made = await madeHistory(t);
  const rgw = await startRgw(t);
  const bucket = await uploadBucket(rgw, made);
  await addForeignObjects(rgw, bucket, `${PREFIX}/`, PLACE);
  const reached = ['--endpoint', rgw.endpoint, '--path-style'];
  await commands(t, made, ['--source', `s3://${bucket}/${PREFIX}`, ...reached], rgw.env);

  await t.test('download', async (t) => {
    const folder = tempFolder(t);
    const [target, credentials] = [join(folder, 'disk.img'), join(folder, 'cloud')];
    const keys = `aws_access_key_id = ${rgw.accessKey}\naws_secret_access_key = ${rgw.secretKey}\n`;
    writeFileSync(credentials, `[default]\n${keys}`);
    const env = {
      KUBEVIRT_DM_BSL_PROVIDER: 'aws',
      KUBEVIRT_DM_BSL_BUCKET: bucket,
      KUBEVIRT_DM_BSL_PREFIX: PREFIX,
      KUBEVIRT_DM_BSL_S3_URL: rgw.endpoint,
      KUBEVIRT_DM_BSL_S3_FORCE_PATH_STYLE: 'true',
      KUBEVIRT_DM_CREDENTIALS_FILE: credentials,
      KUBEVIRT_DM_VM_NAME: 'web',
      KUBEVIRT_DM_VM_NAMESPACE: 'demo',
      KUBEVIRT_DM_VELERO_BACKUP_NAME: NEWEST,
      KUBEVIRT_DM_TARGET_VOLUME: 'rootdisk',
      KUBEVIRT_DM_TARGET_PATH: target,
      KUBEVIRT_DM_SCRATCH_PATH: folder,
    };
    const { exitCode, stderr } = await sharedCli(['download'], { env });
    t.equal(exitCode, 0, stderr);
    t.equal(await difference(target, truthOf(made, NEWEST, 'rootdisk')), undefined);
  });

  await t.test('one level up, where Velero has its own', async (t) => {
    for (const key of [
      'backups/b1/velero-backup.json',
      'restores/r1/x.gz',
      'kopia/demo/kopia.repository',
      'plugins/',
    ]) {
      await rgw.put(bucket, key, '{}');
    }
    const { exitCode, stderr } = await sharedCli(['list', '--source', `s3://${bucket}`, ...reached], { env: rgw.env });
    t.equal(exitCode, 3);
    t.match(stderr, /no backups found .*\nhint: check the prefix; candidates: velero-kubevirt-datamover\n/);
  });
});
