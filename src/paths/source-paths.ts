// The files that reading a source needs, by plan or by environment.
import { join } from 'node:path';
import type { AzureSource, GcsSource, PlanSource } from '../plan/plan.ts';
import type { ReadPath } from './uses.ts';

/** The source's own directory, or the files with credentials, certificates and keys that a bucket is read with. */
export function pathsOfSource(source: PlanSource, env: Readonly<NodeJS.ProcessEnv>): ReadPath[] {
  if (source.kind === 'directory') {
    return [{ what: 'source directory', path: source.directory, tree: true, group: SOURCE }];
  }
  if (source.kind === 'azure') return named(azureFiles(source, env));
  if (source.kind === 'gcs') return named(gcsFiles(source, env));
  const { credentialsFile, caFile, sseCustomerKeyFile } = source;
  const home = env.HOME;
  // What the AWS SDK reads by itself, where the plan names no file (SDKs and tools reference guide, "Shared files").
  const credentials =
    credentialsFile ?? (env.AWS_SHARED_CREDENTIALS_FILE || (home && join(home, '.aws', 'credentials')));
  const config = credentialsFile === undefined ? env.AWS_CONFIG_FILE || (home && join(home, '.aws', 'config')) : '';
  const files: [string, string | undefined][] = [
    ['credentials file', credentials],
    ['AWS configuration file', config],
    ['web identity token file', env.AWS_WEB_IDENTITY_TOKEN_FILE],
    ['CA file', caFile],
    ['CA file', env.AWS_CA_BUNDLE],
    ['CA file', env.NODE_EXTRA_CA_CERTS],
    ['SSE-C key file', sseCustomerKeyFile],
  ];
  return named(files);
}

/** What the store reads, and what only an identity needs. */
function azureFiles(
  { credentialsFile, sasTokenFile, caFile }: AzureSource,
  env: Readonly<NodeJS.ProcessEnv>,
): [string, string | undefined][] {
  return [
    ['credentials file', credentialsFile],
    ['SAS token file', sasTokenFile],
    ['federated token file', env.AZURE_FEDERATED_TOKEN_FILE],
    ['client certificate', env.AZURE_CLIENT_CERTIFICATE_PATH],
    ['CA file', caFile],
    ['CA file', env.SSL_CERT_FILE],
    ['CA file', env.NODE_EXTRA_CA_CERTS],
  ];
}

function gcsFiles(
  { credentialsFile, caFile }: GcsSource,
  env: Readonly<NodeJS.ProcessEnv>,
): [string, string | undefined][] {
  const folder = env.CLOUDSDK_CONFIG || (env.HOME && join(env.HOME, '.config', 'gcloud'));
  const login = folder && join(folder, 'application_default_credentials.json');
  return [
    ['credentials file', credentialsFile ?? (env.GOOGLE_APPLICATION_CREDENTIALS || login)],
    ['CA file', caFile],
    ['CA file', env.SSL_CERT_FILE],
    ['CA file', env.NODE_EXTRA_CA_CERTS],
  ];
}

function named(files: readonly [string, string | undefined][]): ReadPath[] {
  return files.flatMap(([what, path]) => (path ? [{ what, path, group: path }] : []));
}

/** An object of a source that is a directory. */
export function pathOfObject(source: PlanSource, object: string): ReadPath[] {
  if (source.kind !== 'directory') return [];
  const path = join(source.directory, object);
  return [{ what: 'source object', path, object: true, group: SOURCE }];
}

/** Whatever is an object is inside the directory too: the object says more. */
const SOURCE = 'source';
