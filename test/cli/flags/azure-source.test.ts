// Sources of Azure on the command line.
import { test } from 'tap';
import { parseSource, type SourceFlags } from '../../../src/cli/flags/source.ts';
import { DatamoverError } from '../../../src/errors.ts';

const read = (source: string, flags: SourceFlags = {}) => parseSource({ source, ...flags }, '/srv/here');

test('every form of a container', async (t) => {
  const place = { kind: 'azure', account: 'acct', container: 'backups' };
  const cases: [string, object][] = [
    ['azure://acct/backups', {}],
    ['azure://acct/backups/', {}],
    ['AZURE://acct/backups/a/b-kubevirt-datamover/', { prefix: 'a/b-kubevirt-datamover' }],
    ['https://acct.blob.core.windows.net/backups/a%20b', { prefix: 'a b' }],
    ['https://acct.blob.core.usgovcloudapi.net/backups', { cloud: 'AzureUSGovernmentCloud' }],
    ['https://acct.blob.core.chinacloudapi.cn/backups', { cloud: 'AzureChinaCloud' }],
    [
      'https://acct-secondary.blob.core.windows.net/backups',
      { endpoint: 'https://acct-secondary.blob.core.windows.net' },
    ],
    ['https://acct.z12.blob.core.windows.net/backups', { endpoint: 'https://acct.z12.blob.core.windows.net' }],
  ];
  for (const [source, more] of cases) t.strictSame(read(source), { ...place, ...more }, source);
  t.strictSame(
    read('azure://acct/backups', {
      endpoint: 'http://127.0.0.1:10000/acct',
      credentialsFile: 'cloud',
      sasTokenFile: '/sas',
      caFile: 'ca',
      insecureSkipTlsVerify: true,
    }),
    {
      ...place,
      endpoint: 'http://127.0.0.1:10000/acct',
      credentialsFile: '/srv/here/cloud',
      sasTokenFile: '/sas',
      caFile: '/srv/here/ca',
      insecureSkipTLSVerify: true,
    },
  );
});

test('what is refused', async (t) => {
  const cases: [string, SourceFlags, RegExp][] = [
    ['azure://', {}, /no account/],
    ['azure://acct', {}, /no container/],
    ['https://acct.blob.core.windows.net/', {}, /no container/],
    ['https://acct.blob.core.windows.net/backups?sv=1&sig=SECRET', {}, /contains a query/],
    ['https://example.com/backups?sig=SECRET', {}, /https is not supported/],
    [
      'azure://acct/backups',
      { region: 'x', profile: 'y' },
      /--region, --profile cannot be combined with the container/,
    ],
    ['azure://acct/backups', { endpoint: 'acct' }, /not an http or https URL/],
    ['s3://bucket', { sasTokenFile: 'x' }, /--sas-token-file cannot be combined with the bucket/],
  ];
  for (const [source, flags, message] of cases) {
    try {
      read(source, flags);
      t.fail(`${source} was read`);
    } catch (error) {
      if (!(error instanceof DatamoverError)) throw error;
      t.match(error, { code: 'USAGE', message, hint: /./ });
      t.notMatch(`${error.message} ${error.hint}`, /SECRET/, 'a signature is as good as a password');
    }
  }
});
