// Whose keys requests are signed with, and where those come from.
import { DatamoverError } from '../../errors.ts';
import type { ProfileSet } from './profiles.ts';

export type Identity = Keys | WebIdentity | AssumedRole | Container | UserSource | { readonly kind: 'instance' };

export interface Keys {
  readonly kind: 'keys';
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface WebIdentity {
  readonly kind: 'web-identity';
  readonly roleArn: string;
  readonly tokenFile: string;
  readonly sessionName?: string;
}

export interface AssumedRole {
  readonly kind: 'role';
  readonly roleArn: string;
  readonly source: Identity;
  readonly externalId?: string;
  readonly sessionName?: string;
  readonly seconds?: number;
}

/** An agent of ECS or EKS. */
export interface Container {
  readonly kind: 'container';
  readonly relativeUri?: string;
  readonly fullUri?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

/** What only the user's own files may name: a program that is run, or a login made before. */
export interface UserSource {
  readonly kind: 'process' | 'sso' | 'login';
  readonly profile: string;
  readonly files: ProfileSet;
}

/** ACCESS_DENIED: nothing gives keys; `why` says where they were looked for. */
export function noCredentials(why: string, cause?: unknown): DatamoverError {
  return new DatamoverError('ACCESS_DENIED', `no credentials found: ${why}`, {
    hint: 'name a credentialsFile (and profile), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    ...(cause === undefined ? {} : { cause }),
  });
}
