// Sources of Google Cloud Storage on the command line.
import { test } from 'tap';
import { parseSource, type SourceFlags } from '../../../src/cli/flags/source.ts';

const read = (source: string, flags: SourceFlags = {}) => parseSource({ source, ...flags }, '/srv/here');

test('every form of a bucket', async (t) => {
  const place = { kind: 'gcs', bucket: 'backups' };
  t.strictSame(read('gs://backups'), place);
  t.strictSame(read('GS://backups/a/b-kubevirt-datamover/'), { ...place, prefix: 'a/b-kubevirt-datamover' });
  const flags = {
    endpoint: 'http://127.0.0.1:4443',
    credentialsFile: 'key.json',
    caFile: '/ca',
    insecureSkipTlsVerify: true,
  };
  t.strictSame(read('gs://backups', flags), {
    ...place,
    endpoint: 'http://127.0.0.1:4443',
    credentialsFile: '/srv/here/key.json',
    caFile: '/ca',
    insecureSkipTLSVerify: true,
  });
});

test('what is refused', async (t) => {
  const cases: [string, SourceFlags, RegExp][] = [
    ['gs://', {}, /no bucket/],
    ['gs:///prefix', {}, /no bucket/],
    [
      'gs://backups',
      { region: 'x', sasTokenFile: 'y' },
      /--region, --sas-token-file cannot be combined with the bucket/,
    ],
    ['gs://backups', { endpoint: 'x' }, /not an http or https URL/],
  ];
  for (const [source, flags, message] of cases) t.throws(() => read(source, flags), { code: 'USAGE', message });
});
