// The identities that variables give.
import { DatamoverError } from '../../errors.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import { type Environment, variable } from '../remote/environment.ts';
import { type Container, type Identity, type Keys, noCredentials, type WebIdentity } from './identity-types.ts';

/** AWS_ACCESS_KEY_ID and the others. ACCESS_DENIED for one without the other, which no other source makes up for. */
export function exportedKeys(env: Environment): Keys | undefined {
  const accessKeyId = variable(env, 'AWS_ACCESS_KEY_ID');
  const secretAccessKey = variable(env, 'AWS_SECRET_ACCESS_KEY');
  if (accessKeyId === undefined) return undefined;
  if (secretAccessKey === undefined) {
    throw new DatamoverError('ACCESS_DENIED', 'AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not', {
      hint: 'export both, or unset AWS_ACCESS_KEY_ID to use a profile',
    });
  }
  const sessionToken = variable(env, 'AWS_SESSION_TOKEN', 'AWS_SECURITY_TOKEN');
  for (const [name, value] of [
    ['AWS_ACCESS_KEY_ID', accessKeyId],
    ['AWS_SECRET_ACCESS_KEY', secretAccessKey],
    ['AWS_SESSION_TOKEN', sessionToken ?? ''],
  ] as const) {
    if (!/^(["']).*\1$/.test(value)) continue;
    throw new DatamoverError('ACCESS_DENIED', `${name} has a value in quotes`, {
      hint: 'set it without quotes (`docker --env-file` and Kubernetes manifests keep them)',
    });
  }
  return { kind: 'keys', accessKeyId, secretAccessKey, ...omitUndefined({ sessionToken }) };
}

export function exportedWebIdentity(env: Environment): WebIdentity | undefined {
  const tokenFile = variable(env, 'AWS_WEB_IDENTITY_TOKEN_FILE');
  const roleArn = variable(env, 'AWS_ROLE_ARN');
  if (tokenFile === undefined || roleArn === undefined) return undefined;
  return {
    kind: 'web-identity',
    tokenFile,
    roleArn,
    ...omitUndefined({ sessionName: variable(env, 'AWS_ROLE_SESSION_NAME') }),
  };
}

export function exportedContainer(env: Environment): Container | undefined {
  const relativeUri = variable(env, 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI');
  const fullUri = variable(env, 'AWS_CONTAINER_CREDENTIALS_FULL_URI');
  if (relativeUri === undefined && fullUri === undefined) return undefined;
  return {
    kind: 'container',
    ...(relativeUri === undefined ? omitUndefined({ fullUri }) : { relativeUri }),
    ...omitUndefined({ token: variable(env, 'AWS_CONTAINER_AUTHORIZATION_TOKEN') }),
    ...omitUndefined({ tokenFile: variable(env, 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE') }),
  };
}

/** The container's agent, else the machine's; ACCESS_DENIED where the latter is disabled. */
export function machineIdentity(env: Environment): Identity {
  const container = exportedContainer(env);
  if (container !== undefined) return container;
  const disabled = variable(env, 'AWS_EC2_METADATA_DISABLED') ?? 'false';
  if (disabled.toLowerCase() === 'false') return { kind: 'instance' };
  throw noCredentials('AWS_EC2_METADATA_DISABLED is set, and no other source of credentials is configured');
}
