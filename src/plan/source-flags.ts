// A source as the flags of a command name it. Pure.
import { AZURE_DOMAINS } from '../azure-options.ts';
import type { AzureSource, GcsSource, PlanSource, S3Source } from './plan.ts';

/** `--source=…` first, each flag with its value; what only the environment of `download` gives is left out. */
export function sourceFlags(source: PlanSource): string[] {
  switch (source.kind) {
    case 'directory':
      return [`--source=${source.directory}`];
    case 'azure':
      return azureFlags(source);
    case 'gcs':
      return gcsFlags(source);
    case 's3':
      return s3Flags(source);
  }
}

function s3Flags(source: S3Source): string[] {
  const { bucket, prefix, endpoint, region, profile, credentialsFile, caFile, sseCustomerKeyFile } = source;
  return [
    `--source=s3://${bucket}${under(prefix)}`,
    ...valued({ endpoint, region, profile, 'credentials-file': credentialsFile, 'ca-file': caFile }),
    ...valued({ 'sse-customer-key-file': sseCustomerKeyFile }),
    ...(source.forcePathStyle === true ? ['--path-style'] : []),
    ...(source.insecureSkipTLSVerify === true ? [INSECURE] : []),
  ];
}

function azureFlags(source: AzureSource): string[] {
  const { account, container, prefix, endpoint, cloud, credentialsFile, sasTokenFile, caFile } = source;
  const name = `${container}${under(prefix)}`;
  const path = cloud === undefined ? name : name.split('/').map(encodeURIComponent).join('/');
  // Only a URL names a cloud, also beside an endpoint.
  const place = cloud === undefined ? `azure://${account}` : `https://${account}.blob.${AZURE_DOMAINS[cloud]}`;
  return [
    `--source=${place}/${path}`,
    ...valued({ endpoint, 'credentials-file': credentialsFile, 'sas-token-file': sasTokenFile, 'ca-file': caFile }),
    ...(source.insecureSkipTLSVerify === true ? [INSECURE] : []),
  ];
}

function gcsFlags(source: GcsSource): string[] {
  const { bucket, prefix, endpoint, credentialsFile, caFile } = source;
  return [
    `--source=gs://${bucket}${under(prefix)}`,
    ...valued({ endpoint, 'credentials-file': credentialsFile, 'ca-file': caFile }),
    ...(source.insecureSkipTLSVerify === true ? [INSECURE] : []),
  ];
}

const INSECURE = '--insecure-skip-tls-verify';

function under(prefix: string | undefined): string {
  return prefix === undefined ? '' : `/${prefix}`;
}

function valued(flags: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}=${value}`]));
}
