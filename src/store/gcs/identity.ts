// Who reads the bucket: by plan, environment, the user's login with gcloud, or the machine. Nothing is sent.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatamoverError } from '../../errors.ts';
import type { GcsOptions } from '../../gcs-options.ts';
import { type Environment, homeDirectory, variable } from '../remote/environment.ts';
import type { Credentials } from './credentials.ts';
import { readCredentialsFile } from './credentials-file.ts';

export interface Identity {
  /** The file that it comes from, or `the metadata service`. */
  readonly from: string;
  readonly credentials: Credentials;
}

/** PLAN_INVALID for the plan's file that cannot be used, ACCESS_DENIED for another one. Files are read again each time. */
export async function readIdentity({ credentialsFile }: GcsOptions, env: Environment): Promise<Identity> {
  if (credentialsFile !== undefined) {
    const options = { code: 'PLAN_INVALID', users: false } as const;
    return { from: credentialsFile, credentials: await readCredentialsFile(credentialsFile, options) };
  }
  const named = variable(env, APPLICATION_CREDENTIALS);
  const file = named ?? loginFile(env);
  if (file !== undefined) {
    const namedBy = named === undefined ? 'the configuration of gcloud' : APPLICATION_CREDENTIALS;
    const options = { code: 'ACCESS_DENIED', users: true, namedBy } as const;
    return { from: file, credentials: await readCredentialsFile(file, options) };
  }
  const host = variable(env, 'GCE_METADATA_HOST') ?? 'metadata.google.internal';
  if (!/^[\w.-]+(?::\d{1,5})?$/.test(host)) {
    throw new DatamoverError('ACCESS_DENIED', `GCE_METADATA_HOST: invalid host: ${JSON.stringify(host)}`, {
      hint: 'set it to HOST or HOST:PORT, or unset it',
    });
  }
  return { from: 'the metadata service', credentials: { kind: 'metadata', host } };
}

const APPLICATION_CREDENTIALS = 'GOOGLE_APPLICATION_CREDENTIALS';

/** Of `gcloud auth application-default login`. */
function loginFile(env: Environment): string | undefined {
  const home = homeDirectory(env);
  const folder = variable(env, 'CLOUDSDK_CONFIG') ?? (home === undefined ? undefined : join(home, '.config', 'gcloud'));
  const file = folder === undefined ? undefined : join(folder, 'application_default_credentials.json');
  return file !== undefined && existsSync(file) ? file : undefined;
}
