// The source as flags name it: `--source s3://bucket/prefix` or a folder, and how it is reached.
import { resolve } from 'node:path';
import { Option } from 'commander';
import { omitUndefined } from '../../omit-undefined.ts';
import type { PlanSource, S3Source } from '../../plan/plan.ts';
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
  readonly caFile?: string;
  readonly insecureSkipTlsVerify?: boolean;
  readonly sseCustomerKeyFile?: string;
}

export function sourceOptions(): Option[] {
  const text = (flags: string, description: string): Option => new Option(flags, description).argParser(parseText);
  return [
    text('--source <place>', 's3://BUCKET/PREFIX, or a directory with checkpoints/ and manifests/'),
    text('--endpoint <url>', 'S3 endpoint, if not AWS'),
    text('--region <name>', 'region of the bucket'),
    new Option('--path-style', 'put the bucket in the URL path, as most servers except AWS need'),
    text('--profile <name>', 'profile in the credentials file'),
    text('--credentials-file <file>', 'credentials, AWS ini format'),
    text('--ca-file <file>', 'CA certificates to trust, PEM'),
    new Option('--insecure-skip-tls-verify', 'do not verify the server certificate'),
    text('--sse-customer-key-file <file>', 'SSE-C key of the objects, 32 bytes'),
  ];
}

export const SOURCE_SECTION: HelpSection = {
  title: 'Source',
  lines: [
    'The prefix is the one that ends in kubevirt-datamover: <prefix>-kubevirt-datamover for a backup',
    'storage location with a prefix, kubevirt-datamover for one without.',
  ],
};

/** The source that the flags name. USAGE when there is none, or when flags do not go together. */
export function parseSource(flags: SourceFlags, cwd: string): PlanSource {
  const { source } = flags;
  if (source === undefined) refuse('no source given', 'add --source s3://BUCKET/PREFIX or --source DIR');
  if (!/^s3:\/\//i.test(source)) return parseFolder(source, flags, cwd);
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]*)\/?(.*)$/i.exec(source) ?? [];
  if (bucket === '') refuse(`invalid --source ${source}: no bucket`, 'use s3://BUCKET/PREFIX');
  const { endpoint } = flags;
  if (endpoint !== undefined && !(/^https?:\/\/[^/]/i.test(endpoint) && URL.canParse(endpoint))) {
    refuse(`invalid --endpoint ${endpoint}: not an http or https URL`, 'use a URL such as https://s3.example.com');
  }
  if (endpoint !== undefined && new URL(endpoint).username + new URL(endpoint).password !== '') {
    refuse(
      'invalid --endpoint: contains a user name or password',
      'pass credentials with --credentials-file or in the environment',
    );
  }
  const file = (path: string | undefined): string | undefined => (path === undefined ? path : resolve(cwd, path));
  const s3: S3Source = {
    kind: 's3',
    bucket,
    ...omitUndefined({
      prefix: prefix.replace(/\/+$/, '') || undefined,
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

function parseFolder(source: string, { source: _, ...others }: SourceFlags, cwd: string): PlanSource {
  const url = /^([a-z][a-z0-9+.-]*):\/\//i.exec(source);
  if (url !== null)
    refuse(`invalid --source ${source}: ${url[1]} is not supported`, 'use s3://BUCKET/PREFIX or a directory');
  const s3Flags = sourceOptions().filter((option) => option.attributeName() in others);
  const names = s3Flags.map((option) => option.long).join(', ');
  if (names !== '')
    refuse(`${names} cannot be combined with the directory ${source}`, 'remove it, or use --source s3://BUCKET/PREFIX');
  return { kind: 'directory', directory: resolve(cwd, source) };
}
