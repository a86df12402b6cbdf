// How the keys of an identity are had: as they are, or asked for through the SDK's own ways, fenced as all of its clients are.
import type { AwsCredentialIdentity, AwsCredentialIdentityProvider } from '@smithy/types';
import { DatamoverError, messageOf } from '../../errors.ts';
import { type IdentityOptions, readIdentity } from '../aws/identity.ts';
import { type Container, type Identity, noCredentials, type UserSource } from '../aws/identity-types.ts';
import type { Environment } from '../remote/environment.ts';
import { fencedConfig, SILENT } from './sdk-config.ts';
import type { S3Transport } from './transport.ts';

export interface CredentialSettings {
  readonly region: string;
  readonly fips: boolean;
  readonly dualstack: boolean;
  readonly stsEndpoint: () => string | undefined;
  readonly transport: S3Transport;
}

/**
 * The provider to give to the SDK. It reads files and variables again whenever keys are asked for: whoever mounts the file may
 * have renewed them. Rejects with PLAN_INVALID for a file or profile that cannot be used; the provider does so too, and with
 * ACCESS_DENIED where there are no keys.
 */
export async function chooseCredentials(
  options: IdentityOptions,
  env: Environment,
  settings: CredentialSettings,
): Promise<AwsCredentialIdentityProvider> {
  try {
    await readIdentity(options, env);
  } catch (error) {
    // Missing keys are reported with the first object that needs them, together with all other problems.
    if (!(error instanceof DatamoverError) || error.code !== 'ACCESS_DENIED') throw error;
  }
  return async () => await resolveKeys(await readIdentity(options, env), settings);
}

type Keys = AwsCredentialIdentity;

async function resolveKeys(identity: Identity, settings: CredentialSettings): Promise<Keys> {
  if (identity.kind === 'keys') {
    const { kind: _, ...keys } = identity;
    return keys;
  }
  const sdk = await import('@aws-sdk/credential-providers');
  switch (identity.kind) {
    case 'web-identity': {
      const { tokenFile: webIdentityTokenFile, roleArn, sessionName: roleSessionName = SESSION_NAME } = identity;
      const clientConfig = stsConfig(settings);
      return await sdk.fromTokenFile({ webIdentityTokenFile, roleArn, roleSessionName, clientConfig })();
    }
    case 'role': {
      const { roleArn, sessionName = SESSION_NAME, externalId, seconds } = identity;
      return await sdk.fromTemporaryCredentials({
        masterCredentials: await resolveKeys(identity.source, settings),
        params: {
          RoleArn: roleArn,
          RoleSessionName: sessionName,
          ...(externalId === undefined ? {} : { ExternalId: externalId }),
          ...(seconds === undefined ? {} : { DurationSeconds: seconds }),
        },
        clientConfig: stsConfig(settings),
      })();
    }
    case 'container':
      return await orNone('the container credentials service', () => sdk.fromHttp(containerOptions(identity))());
    case 'instance':
      return await orNone('the metadata service of the machine', () => sdk.fromInstanceMetadata({ logger: SILENT })());
    default:
      return await keysOfUser(identity, settings);
  }
}

/** The session of a role that nothing names, as the role's owner sees it. */
const SESSION_NAME = 'kubevirt-datamover';

function stsConfig({ region, stsEndpoint, transport, fips, dualstack }: CredentialSettings) {
  const endpoint = stsEndpoint();
  return {
    ...fencedConfig(endpoint === undefined ? { fips, dualstack } : { fips: false, dualstack: false }),
    maxAttempts: 3,
    region,
    requestHandler: transport,
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

/** What is empty rather than missing is not looked for in the environment. */
function containerOptions({ relativeUri = '', fullUri = '', token = '', tokenFile = '' }: Container) {
  return {
    awsContainerCredentialsRelativeUri: relativeUri,
    awsContainerCredentialsFullUri: fullUri,
    awsContainerAuthorizationToken: token,
    awsContainerAuthorizationTokenFile: tokenFile,
    logger: SILENT,
  };
}

/** Programs and logins of the user's own files, which the SDK reads itself. */
async function keysOfUser({ kind, profile, files }: UserSource, settings: CredentialSettings): Promise<Keys> {
  const sdk = await import('@aws-sdk/credential-providers');
  const { config, credentials } = files.paths;
  const { fips, dualstack, transport } = settings;
  const init = {
    profile,
    ignoreCache: true,
    // No file is as good as an empty one.
    configFilepath: config ?? '/dev/null',
    filepath: credentials ?? '/dev/null',
    // Not the region: a login has its own.
    clientConfig: { ...fencedConfig({ fips, dualstack }), maxAttempts: 3, requestHandler: transport },
  };
  const where = `[${profile}] of ${files.files.join(' and ')}`;
  if (kind === 'process') {
    // The error quotes the command line, which may hold a password, and what the program printed.
    return await sdk
      .fromProcess(init)()
      .catch(() => {
        throw noCredentials(`credential_process of ${where} failed; run its command to see why`);
      });
  }
  return await orNone(where, () => (kind === 'login' ? sdk.fromLoginCredentials(init) : sdk.fromSSO(init))());
}

/** ACCESS_DENIED for whatever goes wrong: none of these says in a way of its own that it has no keys. */
async function orNone(where: string, ask: () => Promise<Keys>): Promise<Keys> {
  try {
    return await ask();
  } catch (error) {
    throw noCredentials(`${where}: ${messageOf(error).split('\n', 1)[0]}`);
  }
}
