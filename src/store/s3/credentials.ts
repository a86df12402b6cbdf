// Where the S3 keys come from: the plan's credentials file, the environment handed in, or the SDK's own chain.
import type { AwsCredentialIdentityProvider } from '@smithy/types';
import { DatamoverError } from '../../errors.ts';
import { readNamedFile } from './files.ts';
import type { Environment, S3Options } from './options.ts';

/**
 * Keys of an ini file that would run a program, or get keys from places that a file taken from a cluster has no business
 * with. The SDK would follow each of them.
 */
const REFUSED = /^(credential_process|credential_source|sso_.*|login_session|mfa_serial|services|endpoint_url.*)$/;

/**
 * The provider to give to the SDK, or undefined for its default chain (with `profile`, where the plan names one). PLAN_INVALID for a
 * credentials file that cannot be read, lacks the profile, or would run a program.
 */
export async function chooseCredentials(
  { credentialsFile, profile }: S3Options,
  env: Environment,
): Promise<AwsCredentialIdentityProvider | undefined> {
  if (credentialsFile !== undefined) return await fromFile(credentialsFile, profile ?? 'default');
  const accessKeyId = oneLine(env.AWS_ACCESS_KEY_ID);
  const secretAccessKey = oneLine(env.AWS_SECRET_ACCESS_KEY);
  // As in the SDK's chain: a profile that is asked for wins over keys in the environment.
  const byProfile = profile !== undefined || (env.AWS_PROFILE ?? '') !== '';
  if (byProfile || !accessKeyId || !secretAccessKey) return undefined;
  const sessionToken = oneLine(env.AWS_SESSION_TOKEN);
  return async () => ({ accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) });
}

/** A Secret that was made with `echo` ends with a line break, which is no part of a key. */
function oneLine(value: string | undefined): string | undefined {
  return value?.replace(/[\r\n]+$/, '');
}

async function fromFile(file: string, profile: string): Promise<AwsCredentialIdentityProvider> {
  const text = (await readNamedFile(file, 'credentials file')).toString('utf8');
  checkCredentialsFile(text, file, profile);
  const { fromIni } = await import('@aws-sdk/credential-providers');
  return async (properties) => {
    // Read again whenever keys are asked for: whoever mounts the file may have renewed them.
    const now = (await readNamedFile(file, 'credentials file')).toString('utf8');
    checkCredentialsFile(now, file, profile);
    // No other file: the user's own ~/.aws/config would be merged in.
    return await fromIni({ filepath: file, configFilepath: '/dev/null', profile, ignoreCache: true })(properties);
  };
}

/** Refuses what must not be followed; PLAN_INVALID. */
export function checkCredentialsFile(text: string, file: string, profile: string): void {
  const sections: string[] = [];
  for (const line of text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)) {
    const section = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
    if (section !== undefined) sections.push(section.replace(/^profile\s+/, ''));
    const key = /^\s*([^=\s#;]+)\s*=/.exec(line)?.[1]?.toLowerCase();
    if (key === undefined || !REFUSED.test(key)) continue;
    throw new DatamoverError('PLAN_INVALID', `the credentials file ${file} holds ${key}, which is not followed`, {
      hint: 'give the keys themselves (aws_access_key_id, aws_secret_access_key) or role_arn with web_identity_token_file; to run a program for keys, put it into your own ~/.aws/config and name no credentialsFile',
    });
  }
  if (sections.includes(profile)) return;
  const held = sections.length === 0 ? 'no section at all' : sections.map((name) => `[${name}]`).join(', ');
  throw new DatamoverError(
    'PLAN_INVALID',
    `the credentials file ${file} has no section [${profile}]; it holds ${held}`,
    {
      hint: 'name the section to use as source.s3.profile',
    },
  );
}
