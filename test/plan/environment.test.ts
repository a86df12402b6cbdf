import { existsSync } from 'node:fs';
import { test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { planFromEnvironment } from '../../src/plan/environment.ts';

const NEEDED = {
  KUBEVIRT_DM_BSL_PROVIDER: 'aws',
  KUBEVIRT_DM_BSL_BUCKET: 'backups',
  KUBEVIRT_DM_VM_NAME: 'web',
  KUBEVIRT_DM_VM_NAMESPACE: 'demo',
  KUBEVIRT_DM_VELERO_BACKUP_NAME: 'backup-004',
  KUBEVIRT_DM_TARGET_VOLUME: 'rootdisk',
};

function refusal(change: Readonly<Record<string, string | undefined>>): DatamoverError {
  try {
    planFromEnvironment({ ...NEEDED, ...change });
  } catch (error) {
    if (error instanceof DatamoverError) return error;
    throw error;
  }
  throw new Error(`taken: ${JSON.stringify(change)}`);
}

test("what is needed is enough, the rest are the operator's defaults", async (t) => {
  const { plan, requireBlockDevice, dataDownload } = planFromEnvironment({
    ...NEEDED,
    KUBEVIRT_DM_BSL_REGION: '',
    PATH: '/bin',
  });
  const credentials = existsSync('/credentials/cloud') ? { credentialsFile: '/credentials/cloud' } : {};
  t.strictSame(plan, {
    version: 1,
    source: { kind: 's3', bucket: 'backups', ...credentials },
    scratch: { path: '/scratch', headroomPercent: 15 },
    backup: 'backup-004',
    vm: { namespace: 'demo', name: 'web' },
    pvcs: [{ name: 'rootdisk', target: '/restore-data/disk.raw' }],
  });
  t.equal(requireBlockDevice, false);
  t.strictSame(dataDownload, {});
});

test('every variable has its place', async (t) => {
  const pem = '-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n';
  const { plan, requireBlockDevice, dataDownload } = planFromEnvironment({
    ...NEEDED,
    KUBEVIRT_DM_BSL_PROVIDER: 'minio',
    KUBEVIRT_DM_BSL_PREFIX: 'velero-kubevirt-datamover',
    KUBEVIRT_DM_BSL_REGION: 'eu-1',
    KUBEVIRT_DM_BSL_S3_URL: 'http://minio:9000',
    KUBEVIRT_DM_BSL_S3_FORCE_PATH_STYLE: 'True',
    KUBEVIRT_DM_BSL_INSECURE_SKIP_TLS_VERIFY: '0',
    KUBEVIRT_DM_BSL_CA_CERT: pem,
    KUBEVIRT_DM_BSL_PROFILE: 'p',
    KUBEVIRT_DM_BSL_CUSTOMER_KEY_ENCRYPTION_FILE: '/keys/ssec',
    KUBEVIRT_DM_BSL_SERVER_SIDE_ENCRYPTION: 'aws:kms',
    KUBEVIRT_DM_BSL_KMS_KEY_ID: 'k',
    KUBEVIRT_DM_BSL_CHECKSUM_ALGORITHM: 'CRC32',
    KUBEVIRT_DM_CREDENTIALS_FILE: '/elsewhere/cloud',
    KUBEVIRT_DM_TARGET_PATH: '/dev/restore-output',
    KUBEVIRT_DM_TARGET_IS_BLOCK_DEVICE: 'true',
    KUBEVIRT_DM_SCRATCH_PATH: '/big//scratch/',
    KUBEVIRT_DM_DATADOWNLOAD_NAME: 'dd-1',
    KUBEVIRT_DM_DATADOWNLOAD_UID: 'u-1',
  });
  t.strictSame(plan.source, {
    kind: 's3',
    bucket: 'backups',
    credentialsFile: '/elsewhere/cloud',
    prefix: 'velero-kubevirt-datamover',
    region: 'eu-1',
    endpoint: 'http://minio:9000',
    forcePathStyle: true,
    insecureSkipTLSVerify: false,
    caPem: pem,
    profile: 'p',
    sseCustomerKeyFile: '/keys/ssec',
  });
  t.strictSame(plan.scratch, { path: '/big/scratch', headroomPercent: 15 });
  t.strictSame(plan.pvcs, [{ name: 'rootdisk', target: '/dev/restore-output' }]);
  t.equal(requireBlockDevice, true);
  t.strictSame(dataDownload, { name: 'dd-1', uid: 'u-1' });
});

test('each variable that is needed is missed by name, an empty one too', async (t) => {
  for (const name of Object.keys(NEEDED)) {
    for (const value of [undefined, '']) {
      const error = refusal({ [name]: value });
      t.equal(error.code, 'USAGE');
      t.equal(error.message, `${name} is not set`);
      t.not(error.hint, '');
    }
  }
  const all = Object.fromEntries(Object.keys(NEEDED).map((name) => [name, undefined]));
  t.equal(refusal(all).problems.length, 6, 'all at once');
});

test('each variable that is wrong is told by name', async (t) => {
  const cases: [name: string, value: string, message: RegExp][] = [
    ['BSL_S3_URL', 'minio:9000', /is not an http or https URL/],
    ['BSL_CA_CERT', '/etc/ssl/ca.pem', /is not a PEM certificate/],
    ['BSL_S3_FORCE_PATH_STYLE', 'yes', /is neither true nor false: "yes"/],
    ['TARGET_IS_BLOCK_DEVICE', 'TRue!', /is neither true nor false/],
    ['CREDENTIALS_FILE', 'cloud', /is not an absolute path: "cloud"/],
    ['TARGET_PATH', 'disk.raw', /is not an absolute path/],
    ['TARGET_PATH', '/disk.raw', /must not be in the root directory/],
    ['TARGET_PATH', '/a/../disk.raw', /must not be in the root directory/],
    ['SCRATCH_PATH', 'scratch', /is not an absolute path/],
    ['SCRATCH_PATH', '/x/..', /is the root directory/],
    ['VM_NAME', '../db', /holds a '\/': "\.\.\/db"/],
    ['VM_NAMESPACE', '..', /is a reserved name/],
    ['VELERO_BACKUP_NAME', 'a/b', /holds a '\/'/],
  ];
  for (const [name, value, message] of cases) {
    const error = refusal({ [`KUBEVIRT_DM_${name}`]: value });
    t.equal(error.code, 'USAGE', name);
    t.match(error.message, new RegExp(`^KUBEVIRT_DM_${name} `));
    t.match(error.message, message);
  }
});

test('line breaks at the end are no part of a value', async (t) => {
  const change = {
    KUBEVIRT_DM_BSL_PREFIX: 'p \n',
    KUBEVIRT_DM_BSL_REGION: '\r\n',
    KUBEVIRT_DM_BSL_PROFILE: '  ',
    KUBEVIRT_DM_BSL_S3_FORCE_PATH_STYLE: 'true\r\n',
    KUBEVIRT_DM_CREDENTIALS_FILE: '/elsewhere/cloud\n',
    KUBEVIRT_DM_TARGET_PATH: '/data/my disk.raw\r\n',
  };
  const echoed = Object.fromEntries(Object.entries(NEEDED).map(([name, value]) => [name, `${value}\r\n`]));
  const { plan } = planFromEnvironment({ ...echoed, ...change });
  t.strictSame(plan.source, {
    kind: 's3',
    bucket: 'backups',
    prefix: 'p ',
    forcePathStyle: true,
    credentialsFile: '/elsewhere/cloud',
  });
  t.match(plan, { backup: 'backup-004', vm: { namespace: 'demo', name: 'web' } });
  t.strictSame(plan.pvcs, [{ name: 'rootdisk', target: '/data/my disk.raw' }]);
});

test('quotes and spaces around a value are named', async (t) => {
  const names = [
    ...Object.keys(NEEDED),
    'KUBEVIRT_DM_BSL_REGION',
    'KUBEVIRT_DM_CREDENTIALS_FILE',
    'KUBEVIRT_DM_TARGET_PATH',
  ];
  for (const name of names) {
    for (const [value, why] of [
      ['"/geheim"', 'has a value in quotes'],
      ["'true'", 'has a value in quotes'],
      [' true', 'starts or ends with a space'],
      ['/x\t\n', 'starts or ends with a space'],
    ]) {
      const error = refusal({ [name]: value });
      t.equal(error.code, 'USAGE');
      t.equal(error.message, `${name} ${why}`);
      t.equal(error.problems.length, 1, 'and no more');
    }
  }
});

test('a location in Google Cloud', async (t) => {
  for (const provider of ['gcp', 'GCP', 'velero.io/gcp']) {
    const { plan } = planFromEnvironment({
      ...NEEDED,
      KUBEVIRT_DM_BSL_PROVIDER: provider,
      KUBEVIRT_DM_BSL_PREFIX: 'velero-kubevirt-datamover',
      KUBEVIRT_DM_BSL_REGION: 'ignored',
      KUBEVIRT_DM_BSL_SERVICE_ACCOUNT: 'signer@project-1.iam.gserviceaccount.com',
      KUBEVIRT_DM_CREDENTIALS_FILE: '/elsewhere/cloud',
    });
    t.strictSame(plan.source, {
      kind: 'gcs',
      bucket: 'backups',
      prefix: 'velero-kubevirt-datamover',
      credentialsFile: '/elsewhere/cloud',
    });
  }
});

test('a location in Azure', async (t) => {
  const { plan } = planFromEnvironment({
    ...NEEDED,
    KUBEVIRT_DM_BSL_PROVIDER: 'velero.io/azure',
    KUBEVIRT_DM_BSL_PREFIX: 'velero-kubevirt-datamover',
    KUBEVIRT_DM_BSL_STORAGE_ACCOUNT: 'acct',
    KUBEVIRT_DM_BSL_STORAGE_ACCOUNT_URI: 'https://acct.blob.core.usgovcloudapi.net',
    KUBEVIRT_DM_BSL_STORAGE_ACCOUNT_KEY_ENV_VAR: 'MY_KEY',
    KUBEVIRT_DM_BSL_USE_AAD: 'true',
    KUBEVIRT_DM_BSL_SUBSCRIPTION_ID: 'sub',
    KUBEVIRT_DM_BSL_RESOURCE_GROUP: 'group',
    KUBEVIRT_DM_BSL_ACTIVE_DIRECTORY_AUTHORITY_URI: 'https://login.microsoftonline.us',
    KUBEVIRT_DM_CREDENTIALS_FILE: '/elsewhere/cloud',
  });
  t.strictSame(plan.source, {
    kind: 'azure',
    account: 'acct',
    container: 'backups',
    prefix: 'velero-kubevirt-datamover',
    endpoint: 'https://acct.blob.core.usgovcloudapi.net',
    credentialsFile: '/elsewhere/cloud',
    keyVariable: 'MY_KEY',
    useAAD: true,
    subscription: 'sub',
    resourceGroup: 'group',
    authorityHost: 'https://login.microsoftonline.us',
  });
  const azure = { KUBEVIRT_DM_BSL_PROVIDER: 'azure' };
  const cases: [object, RegExp][] = [
    [{}, /^KUBEVIRT_DM_BSL_STORAGE_ACCOUNT is not set/],
    [{ KUBEVIRT_DM_BSL_STORAGE_ACCOUNT: 'My.Account' }, /STORAGE_ACCOUNT is not the name of a storage account/],
    [{ KUBEVIRT_DM_BSL_STORAGE_ACCOUNT: 'acct', KUBEVIRT_DM_BSL_STORAGE_ACCOUNT_URI: 'acct' }, /URI is not an http/],
    [
      { KUBEVIRT_DM_BSL_STORAGE_ACCOUNT: 'acct', KUBEVIRT_DM_BSL_ACTIVE_DIRECTORY_AUTHORITY_URI: 'http://x' },
      /AUTHORITY_URI is not an https URL/,
    ],
  ];
  for (const [change, message] of cases) t.match(refusal({ ...azure, ...change }), { code: 'USAGE', message });
});
