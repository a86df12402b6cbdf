// The flags that name a source are read back as that source.
import { test } from 'tap';
import { planCommand } from '../../src/cli/commands/plan.ts';
import { parseSource, type SourceFlags } from '../../src/cli/flags/source.ts';
import type { PlanSource } from '../../src/plan/plan.ts';
import { sourceFlags } from '../../src/plan/source-flags.ts';

const files = { credentialsFile: '/keys/cloud', caFile: '/keys/ca.pem' };
const SOURCES: readonly PlanSource[] = [
  { kind: 'directory', directory: '/a directory/with \'quotes" and $dollars' },
  { kind: 's3', bucket: 'b' },
  {
    kind: 's3',
    bucket: 'b',
    prefix: 'a/velero-kubevirt-datamover',
    endpoint: 'https://s3.example.com:9000',
    region: 'r-1',
    forcePathStyle: true,
    profile: 'p',
    insecureSkipTLSVerify: true,
    sseCustomerKeyFile: '/keys/sse',
    ...files,
  },
  { kind: 'azure', account: 'acct', container: 'c' },
  {
    kind: 'azure',
    account: 'acct',
    container: 'c',
    prefix: 'a/b',
    endpoint: 'http://127.0.0.1:10000/acct',
    sasTokenFile: '/keys/sas',
    insecureSkipTLSVerify: true,
    ...files,
  },
  { kind: 'azure', account: 'acct', container: 'c', prefix: 'p', cloud: 'AzureUSGovernmentCloud' },
  { kind: 'azure', account: 'acct', container: 'c', prefix: 'a b/100%?#ü', cloud: 'AzureUSGovernmentCloud' },
  { kind: 'azure', account: 'acct', container: 'c', cloud: 'AzureChinaCloud', endpoint: 'https://private.example' },
  { kind: 'gcs', bucket: 'backups' },
  {
    kind: 'gcs',
    bucket: 'backups',
    prefix: 'a/velero-kubevirt-datamover',
    endpoint: 'https://gcs.example.com',
    insecureSkipTLSVerify: true,
    ...files,
  },
];

for (const source of SOURCES) {
  const flags = sourceFlags(source);
  test(flags.join(' '), async (t) => {
    let parsed: SourceFlags = {};
    const command = planCommand(async () => {});
    command.action((given: SourceFlags) => {
      parsed = given;
    });
    await command.parseAsync(flags, { from: 'user' });
    t.strictSame(parseSource(parsed, '/elsewhere'), source);
  });
}
