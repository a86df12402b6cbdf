// The source as flags name it: `--source s3://bucket/prefix`, `azure://account/container/prefix`, `gs://bucket/prefix` or a folder, and how it is reached.
import { resolve } from 'node:path';
import { Option } from 'commander';
import { omitUndefined } from '../../omit-undefined.ts';
import type { AzureSource, GcsSource, PlanSource, S3Source } from '../../plan/plan.ts';
import { type AzurePlace, parseAzurePlace } from './azure-source.ts';
import { parseText } from './flags.ts';
import type { HelpSection } from './help.ts';
import { refuse } from './usage.ts';

export interface SourceFlags {
  readonly source?: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly pathStyle?: boolean;
  readonly profile?: string;
  readonly credentialsFile?: string;
  readonly sasTokenFile?: string;
  readonly caFile?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly sseCustomerKeyFile?: string;
}

export function sourceOptions(): Option[] {
  const text = (flags: string, description: string): Option => new Option(flags, description).argParser(parseText);
  return [
    text('--source <place>', 's3://…, azure://…, gs://…, or a directory; see Source'),
    text('--endpoint <url>', 'endpoint, if not that of AWS, Azure or Google'),
    text('--region <name>', 'region of the bucket'),
    new Option('--path-style', 'put the bucket in the URL path, as most servers except AWS need'),
    text('--profile <name>', 'profile in the credentials file'),
    text('--credentials-file <file>', 'credentials: AWS ini format, AZURE_… variables, or JSON (Google)'),
    text('--sas-token-file <file>', 'shared access signature (Azure)'),
    text('--ca-file <file>', 'CA certificates to trust, PEM'),
    new Option('--insecure-skip-tls-verify', 'do not verify the server certificate'),
    text('--sse-customer-key-file <file>', 'SSE-C key of the objects, 32 bytes'),
  ];
}

export const SOURCE_SECTION: HelpSection = {
  title: 'Source',
  lines: [
    's3://BUCKET/PREFIX, azure://ACCOUNT/CONTAINER/PREFIX,',
    'https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX, gs://BUCKET/PREFIX (experimental: not',
    "tested with Google's own service), or a directory that holds checkpoints/.",
    'The prefix is the one that ends in kubevirt-datamover: <prefix>-kubevirt-datamover for a backup',
    'storage location with a prefix, kubevirt-datamover for one without.',
  ],
};

/** The source that the flags name. USAGE when there is none, or when flags do not go together. */
export function parseSource(flags: SourceFlags, cwd: string): PlanSource {
  const { source } = flags;
  if (source === undefined)
    refuse(
      'no source given',
      'add --source s3://BUCKET/PREFIX, azure://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX or DIR',
    );
  const azure = parseAzurePlace(source);
  if (azure !== undefined) return azureSource(azure, flags, cwd);
  if (/^gs:\/\//i.test(source)) return gcsSource(source, flags, cwd);
  if (!/^s3:\/\//i.test(source)) return parseFolder(source, flags, cwd);
  refuseFlags(flags, ['sasTokenFile'], `the bucket ${source}`);
  const { bucket, prefix } = bucketOf(source);
  const { endpoint } = flags;
  checkEndpoint(endpoint);
  const file = (path: string | undefined): string | undefined => (path === undefined ? path : resolve(cwd, path));
  const s3: S3Source = {
    kind: 's3',
    bucket,
    ...omitUndefined({
      prefix,
      endpoint,
      region: flags.region,
      forcePathStyle: flags.pathStyle,
      profile: flags.profile,
      credentialsFile: file(flags.credentialsFile),
      caFile: file(flags.caFile),
      insecureSkipTLSVerify: flags.insecureSkipTlsVerify,
      sseCustomerKeyFile: file(flags.sseCustomerKeyFile),
    }),
  };
  return s3;
}

/** `SCHEME://BUCKET/PREFIX`. USAGE where it names no bucket. */
function bucketOf(source: string): { readonly bucket: string; readonly prefix: string | undefined } {
  const [, scheme = '', bucket = '', prefix = ''] = /^([a-z0-9]+):\/\/([^/]*)\/?(.*)$/is.exec(source) ?? [];
  if (bucket === '') refuse(`invalid --source ${source}: no bucket`, `use ${scheme.toLowerCase()}://BUCKET/PREFIX`);
  return { bucket, prefix: prefix.replace(/\/+$/, '') || undefined };
}

function gcsSource(source: string, flags: SourceFlags, cwd: string): GcsSource {
  const other = ['region', 'pathStyle', 'profile', 'sseCustomerKeyFile', 'sasTokenFile'] as const;
  refuseFlags(flags, other, `the bucket ${source}`);
  checkEndpoint(flags.endpoint);
  const { bucket, prefix } = bucketOf(source);
  const file = (path: string | undefined): string | undefined => (path === undefined ? path : resolve(cwd, path));
  return {
    kind: 'gcs',
    bucket,
    ...omitUndefined({
      prefix,
      endpoint: flags.endpoint,
      credentialsFile: file(flags.credentialsFile),
      caFile: file(flags.caFile),
      insecureSkipTLSVerify: flags.insecureSkipTlsVerify,
    }),
  };
}

function azureSource(place: AzurePlace, flags: SourceFlags, cwd: string): AzureSource {
  const other = ['region', 'pathStyle', 'profile', 'sseCustomerKeyFile'] as const;
  refuseFlags(flags, other, `the container ${place.account}/${place.container}`);
  checkEndpoint(flags.endpoint);
  const file = (path: string | undefined): string | undefined => (path === undefined ? path : resolve(cwd, path));
  return {
    kind: 'azure',
    ...place,
    ...omitUndefined({
      endpoint: flags.endpoint ?? place.endpoint,
      credentialsFile: file(flags.credentialsFile),
      sasTokenFile: file(flags.sasTokenFile),
      caFile: file(flags.caFile),
      insecureSkipTLSVerify: flags.insecureSkipTlsVerify,
    }),
  };
}

function checkEndpoint(endpoint: string | undefined): void {
  if (endpoint === undefined) return;
  if (!(/^https?:\/\/[^/]/i.test(endpoint) && URL.canParse(endpoint))) {
    refuse(`invalid --endpoint ${endpoint}: not an http or https URL`, 'use a URL such as https://s3.example.com');
  }
  const { username, password } = new URL(endpoint);
  if (username + password !== '') {
    refuse(
      'invalid --endpoint: contains a user name or password',
      'pass credentials with --credentials-file or in the environment',
    );
  }
}

/** USAGE for flags that another kind of source has. */
function refuseFlags(flags: SourceFlags, names: readonly (keyof SourceFlags)[], what: string): void {
  const given = sourceOptions().filter((option) =>
    names.some((name) => name === option.attributeName() && flags[name]),
  );
  if (given.length === 0) return;
  refuse(`${given.map((option) => option.long).join(', ')} cannot be combined with ${what}`, 'remove it');
}

function parseFolder(source: string, { source: _, ...others }: SourceFlags, cwd: string): PlanSource {
  const url = /^([a-z][a-z0-9+.-]*):\/\//i.exec(source);
  if (url !== null)
    refuse(
      `invalid --source ${source.replace(/\?.*$/s, '')}: ${url[1]} is not supported`,
      'use s3://BUCKET/PREFIX, azure://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX or a directory',
    );
  const s3Flags = sourceOptions().filter((option) => option.attributeName() in others);
  const names = s3Flags.map((option) => option.long).join(', ');
  if (names !== '')
    refuse(`${names} cannot be combined with the directory ${source}`, 'remove it, or use --source s3://BUCKET/PREFIX');
  return { kind: 'directory', directory: resolve(cwd, source) };
}
