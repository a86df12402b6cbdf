// The identity that a profile gives, in the order of the Go SDK: another profile's role, its own keys, a web identity, a program or
// a login.
import { DatamoverError } from '../../errors.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import type { Environment } from '../remote/environment.ts';
import { exportedContainer, exportedKeys } from './exported.ts';
import type { AssumedRole, Identity, Keys, UserSource } from './identity-types.ts';
import { missingProfile, type Profile, type ProfileSet, settingOf } from './profiles.ts';

export interface ProfileContext {
  readonly files: ProfileSet;
  readonly env: Environment;
  /** The user's own files: programs may be run, logins used. A file of a plan may come from a cluster. */
  readonly trusted: boolean;
  /** The profiles that led here. */
  readonly visited: readonly string[];
}

/** Undefined when the profile says nothing of keys. PLAN_INVALID, with the line, for what cannot be used or may not be followed. */
export function identityOf(context: ProfileContext, profile: Profile): Identity | undefined {
  const value = (key: string): string | undefined => settingOf(profile, key);
  const roleArn = value('role_arn');
  const sourceName = value('source_profile');
  const tokenFile = value('web_identity_token_file');
  if (roleArn === undefined) return keysOfProfile(profile) ?? namedSource(context, profile);
  const ofRole = (source: Identity): AssumedRole => ({ ...roleOptions(profile, roleArn), source });
  if (sourceName !== undefined && sourceName !== profile.name) return ofRole(sourceOf(context, profile, sourceName));
  const keys = keysOfProfile(profile);
  if (keys !== undefined) return ofRole(keys);
  if (tokenFile !== undefined) {
    return { kind: 'web-identity', roleArn, tokenFile, ...omitUndefined({ sessionName: value('role_session_name') }) };
  }
  const source = namedSource(context, profile);
  return source === undefined ? undefined : ofRole(source);
}

/** The keys of a profile; PLAN_INVALID for one without the other, and for what is no key. */
function keysOfProfile(profile: Profile): Keys | undefined {
  const accessKeyId = settingOf(profile, 'aws_access_key_id');
  const secretAccessKey = settingOf(profile, 'aws_secret_access_key');
  const tokenName = profile.entries.has('aws_session_token') ? 'aws_session_token' : 'aws_security_token';
  const sessionToken = settingOf(profile, tokenName);
  if (accessKeyId === undefined && secretAccessKey === undefined) return undefined;
  if (accessKeyId === undefined) throw partial(profile, 'aws_secret_access_key', 'aws_access_key_id');
  if (secretAccessKey === undefined) throw partial(profile, 'aws_access_key_id', 'aws_secret_access_key');
  for (const [key, value] of [
    ['aws_access_key_id', accessKeyId],
    ['aws_secret_access_key', secretAccessKey],
    [tokenName, sessionToken ?? ''],
  ] as const) {
    // A secret may hold anything, but no tool has put these around it: an editor or a web page has.
    const bad = key === 'aws_secret_access_key' ? /^[“”‘’„«]|[“”‘’»]$/ : /[^\x21-\x7e]/;
    if (bad.test(value)) throw notAKey(profile, key);
  }
  return { kind: 'keys', accessKeyId, secretAccessKey, ...omitUndefined({ sessionToken }) };
}

function sourceOf(context: ProfileContext, profile: Profile, name: string): Identity {
  const visited = [...context.visited, profile.name];
  if (visited.includes(name)) throw invalidProfileError(profile, 'source_profile', `leads back to [${name}]`);
  const source = context.files.profiles.get(name);
  if (source === undefined) throw invalidProfileError(profile, 'source_profile', missingProfile(context.files, name));
  const identity = identityOf({ ...context, visited }, source);
  if (identity !== undefined) return identity;
  throw invalidProfileError(profile, 'source_profile', `[${name}] has neither keys nor a role`);
}

/** `credential_source` of a role. */
function namedSource({ trusted, env, ...rest }: ProfileContext, profile: Profile): Identity | undefined {
  const name = settingOf(profile, 'credential_source');
  if (name === undefined) return userSource({ trusted, env, ...rest }, profile);
  if (!trusted) throw refused(profile, 'credential_source');
  if (name === 'Ec2InstanceMetadata') return { kind: 'instance' };
  const identity =
    name === 'Environment' ? exportedKeys(env) : name === 'EcsContainer' ? exportedContainer(env) : undefined;
  if (identity !== undefined) return identity;
  throw invalidProfileError(profile, 'credential_source', `no credentials found in ${JSON.stringify(name)}`);
}

/** A program or a login. */
function userSource({ files, trusted }: ProfileContext, profile: Profile): UserSource | undefined {
  const key = [...profile.entries.keys()].find((name) => /^(credential_process|login_session|sso_.*)$/.test(name));
  if (key === undefined) return undefined;
  if (!trusted) throw refused(profile, key);
  const kind = key === 'credential_process' ? 'process' : key === 'login_session' ? 'login' : 'sso';
  return { kind, profile: profile.name, files };
}

function roleOptions(profile: Profile, roleArn: string): Omit<AssumedRole, 'source'> {
  const seconds = settingOf(profile, 'duration_seconds');
  if (seconds !== undefined && !/^\d{1,6}$/.test(seconds)) {
    throw invalidProfileError(profile, 'duration_seconds', `expected a number, got ${JSON.stringify(seconds)}`);
  }
  if (profile.entries.has('mfa_serial')) throw refused(profile, 'mfa_serial');
  return {
    kind: 'role',
    roleArn,
    ...omitUndefined({ externalId: settingOf(profile, 'external_id') }),
    ...omitUndefined({ sessionName: settingOf(profile, 'role_session_name') }),
    ...(seconds === undefined ? {} : { seconds: Number(seconds) }),
  };
}

function formatPosition(profile: Profile, key: string): string {
  const entry = profile.entries.get(key);
  return entry === undefined ? profile.where : `${entry.file}:${entry.line}`;
}

function partial(profile: Profile, given: string, missing: string): DatamoverError {
  const state = profile.entries.has(missing) ? 'is empty' : 'is missing';
  return new DatamoverError(
    'PLAN_INVALID',
    `${formatPosition(profile, given)}: [${profile.name}] has ${given}, but ${missing} ${state}`,
    {
      hint: `add ${missing} to the section [${profile.name}]`,
    },
  );
}

function notAKey(profile: Profile, key: string): DatamoverError {
  return new DatamoverError('PLAN_INVALID', `${formatPosition(profile, key)}: invalid character in ${key}`, {
    hint: 'check the value for typographic quotes, spaces and line breaks, and type the line again',
  });
}

function invalidProfileError(profile: Profile, key: string, why: string): DatamoverError {
  return new DatamoverError('PLAN_INVALID', `${formatPosition(profile, key)}: ${key} of [${profile.name}]: ${why}`, {
    hint: `correct ${key}, or name another profile`,
  });
}

function refused(profile: Profile, key: string): DatamoverError {
  return new DatamoverError(
    'PLAN_INVALID',
    `${formatPosition(profile, key)}: ${key} of [${profile.name}] is not supported`,
    {
      hint: 'set aws_access_key_id and aws_secret_access_key, or role_arn with web_identity_token_file; for a program or a login, remove credentialsFile so that ~/.aws/config is read',
    },
  );
}
