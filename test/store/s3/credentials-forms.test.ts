// Credentials files as people and Secrets have them, against the real server: who signs, and for which region.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { startPeer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { sharedCli } from '../../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';
import { QUICK } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;

test('each form reaches the server with the right keys', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'object', 'bytes');
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const file = join(tempFolder(t), 'cloud');
  const { accessKey: id, secretKey: secret } = rgw;
  const forms: [name: string, text: string, region: string][] = [
    ['as Velero documents it', `[default]\naws_access_key_id=${id}\naws_secret_access_key=${secret}\n`, 'us-east-1'],
    ['quotes', `[default]\naws_access_key_id="${id}"\naws_secret_access_key='${secret}'\nregion="eu-q"\n`, 'eu-q'],
    ['colons', `[default]\naws_access_key_id: ${id}\naws_secret_access_key: ${secret}\nregion: eu-c\n`, 'eu-c'],
    [
      'upper case, CR LF',
      `[default]\r\nAWS_ACCESS_KEY_ID=${id}\r\nAWS_SECRET_ACCESS_KEY=${secret}\r\nREGION=eu-u\r\n`,
      'eu-u',
    ],
    [
      'mark, comments, indented',
      `\uFEFF# c\n  [default] ; c\n  aws_access_key_id = ${id} # c\n  aws_secret_access_key = ${secret} ; c\n`,
      'us-east-1',
    ],
    [
      'CR alone, [profile default]',
      `[profile default]\raws_access_key_id=${id}\raws_secret_access_key=${secret}`,
      'us-east-1',
    ],
    [
      'nested section first',
      `[default]\ns3 =\n    region = no\naws_access_key_id=${id}\naws_secret_access_key=${secret}\n`,
      'us-east-1',
    ],
    [
      'joined',
      `[default]\naws_access_key_id=old\n[x]\na=b\n[default]\naws_access_key_id=${id}\naws_secret_access_key=${secret}\n`,
      'us-east-1',
    ],
  ];
  const ask = async (endpoint: { readonly endpoint?: string }): Promise<void> => {
    const env = { HOME: '/nowhere', AWS_PROFILE: 'none', AWS_ACCESS_KEY_ID: 'other', AWS_SECRET_ACCESS_KEY: 'other' };
    const options = { bucket, credentialsFile: file, ...endpoint };
    const store = await openS3Store(options, { concurrency: 1, env, policy: QUICK });
    t.equal((await store.head('object', { signal })).size, 5);
    await store.close();
  };
  for (const [name, text, region] of forms) {
    writeFileSync(file, text);
    await ask({ endpoint: peer.endpoint });
    const authorization = peer.requests.at(-1)?.headers.authorization ?? '';
    t.match(authorization, new RegExp(`Credential=${id}/\\d{8}/${region}/s3/`), name);
  }
  writeFileSync(
    file,
    `[default]\naws_access_key_id=${id}\naws_secret_access_key=${secret}\nendpoint_url = ${peer.endpoint}\n`,
  );
  const before = peer.requests.length;
  await ask({});
  t.equal(peer.requests.length, before + 1, 'the endpoint of the file');
});

test('download with variables as `echo` and CR LF leave them', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv', ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, fileURLToPath(new URL('../../../fixtures/bucket', import.meta.url)), 'p/');
  const folder = tempFolder(t);
  writeFileSync(
    join(folder, 'cloud'),
    `[default]\r\naws_access_key_id = "${rgw.accessKey}"\r\naws_secret_access_key = "${rgw.secretKey}"\r\n`,
  );
  const variables = {
    BSL_PROVIDER: 'aws',
    BSL_BUCKET: bucket,
    BSL_PREFIX: 'p',
    BSL_S3_URL: rgw.endpoint,
    BSL_S3_FORCE_PATH_STYLE: 'true',
    CREDENTIALS_FILE: join(folder, 'cloud'),
    VM_NAME: 'web',
    VM_NAMESPACE: 'demo',
    VELERO_BACKUP_NAME: 'backup-002',
    TARGET_VOLUME: 'datadisk',
    TARGET_PATH: join(folder, 'disk.raw'),
    SCRATCH_PATH: folder,
    READ_TIMEOUT_SECONDS: '60',
  };
  const env = Object.fromEntries(
    Object.entries(variables).map(([name, value]) => [`KUBEVIRT_DM_${name}`, `${value}\r\n`]),
  );
  const run = await sharedCli(['download', '--dry-run'], { env: { HOME: '/nowhere', ...env } });
  t.equal(run.exitCode, 0, run.stderr);
  const quoted = await sharedCli(['download', '--dry-run'], { env: { ...env, KUBEVIRT_DM_BSL_BUCKET: `"${bucket}"` } });
  t.equal(quoted.exitCode, 2);
  t.match(quoted.stderr, 'KUBEVIRT_DM_BSL_BUCKET has a value in quotes');
});
