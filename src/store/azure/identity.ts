// Who reads the container: which key, signature or identity, by plan, credentials file and environment. Nothing is sent.
import type { AzureOptions } from '../../azure-options.ts';
import { DatamoverError } from '../../errors.ts';
import { type Environment, variable } from '../remote/environment.ts';
import { readNamedFile } from '../remote/named-file.ts';
import { readCredentialsFile } from './credentials-file.ts';
import { CREDENTIALS, SAS } from './hints.ts';

/** An identity of Microsoft Entra (Azure AD), for which tokens are requested. */
export type EntraIdentity =
  | { readonly kind: 'secret'; readonly tenant: string; readonly client: string; readonly secret: string }
  | {
      readonly kind: 'certificate';
      readonly tenant: string;
      readonly client: string;
      /** PEM text, or a file. */
      readonly certificate: { readonly pem: string } | { readonly path: string };
      readonly password?: string | undefined;
    }
  | { readonly kind: 'federated'; readonly tenant: string; readonly client: string; readonly tokenFile: string }
  | { readonly kind: 'managed'; readonly client?: string | undefined };

export type Identity = { readonly from: string } & (
  | { readonly kind: 'key'; readonly key: Uint8Array }
  | { readonly kind: 'sas'; readonly query: string }
  | {
      readonly kind: 'entra';
      readonly identity: EntraIdentity;
      /** Where tokens are requested, if not at the cloud's own authority. */
      readonly authority?: string | undefined;
      /** Where the account's key may be requested when the identity may not read blobs. */
      readonly account?: { readonly subscription: string; readonly resourceGroup: string } | undefined;
    }
);

export interface Chosen {
  readonly identity: Identity;
  /** As the credentials file names it. */
  readonly cloudName: string | undefined;
}

/** The names of the account's key: the operator's default, and the one of Azure's tools. */
const KEY_VARIABLES = ['AZURE_STORAGE_ACCOUNT_ACCESS_KEY', 'AZURE_STORAGE_KEY'] as const;

/** PLAN_INVALID for files that cannot be used; ACCESS_DENIED for variables that cannot. Files are read anew each time. */
export async function readIdentity(options: AzureOptions, env: Environment): Promise<Chosen> {
  const { credentialsFile, sasTokenFile } = options;
  const file = credentialsFile === undefined ? undefined : await readCredentialsFile(credentialsFile);
  const cloudName =
    file?.get('AZURE_CLOUD_NAME') || (file === undefined ? variable(env, 'AZURE_CLOUD_NAME') : undefined);
  if (sasTokenFile !== undefined) {
    const text = (await readNamedFile(sasTokenFile, 'SAS token file')).toString('utf8');
    return {
      cloudName,
      identity: { kind: 'sas', from: sasTokenFile, query: sasQuery(text, sasTokenFile, 'PLAN_INVALID') },
    };
  }
  if (file !== undefined && credentialsFile !== undefined) {
    // Those that the platform sets in a pod apply to a file without them.
    const value = (name: string): string | undefined =>
      file.get(name) || (OF_PLATFORM.has(name) ? variable(env, name) : undefined) || undefined;
    return { cloudName, identity: identityOf(value, { options, from: credentialsFile, code: 'PLAN_INVALID' }) };
  }
  const account = variable(env, 'AZURE_STORAGE_ACCOUNT');
  const others = account !== undefined && account !== options.account;
  const value = (name: string): string | undefined =>
    others && name.startsWith('AZURE_STORAGE_') ? undefined : variable(env, name);
  return { cloudName, identity: identityOf(value, { options, from: 'the environment', code: 'ACCESS_DENIED' }) };
}

const OF_PLATFORM: ReadonlySet<string> = new Set([
  'AZURE_AUTHORITY_HOST',
  'AZURE_CLIENT_ID',
  'AZURE_FEDERATED_TOKEN_FILE',
  'AZURE_TENANT_ID',
]);

interface Choice {
  readonly options: AzureOptions;
  readonly from: string;
  readonly code: 'PLAN_INVALID' | 'ACCESS_DENIED';
}

type Value = (name: string) => string | undefined;

/** In the operator's order: the account's key, else an identity; a secret or certificate before a federated token. */
function identityOf(value: Value, { options, from, code }: Choice): Identity {
  const { keyVariable, useAAD } = options;
  const names = keyVariable === undefined ? KEY_VARIABLES : [keyVariable];
  const name = names.find((each) => value(each) !== undefined);
  const key = name === undefined ? undefined : value(name);
  if (key !== undefined && useAAD !== true) return { kind: 'key', from, key: keyBytes(key, `${from}: ${name}`, code) };
  const sas = value('AZURE_STORAGE_SAS_TOKEN');
  if (sas !== undefined && useAAD !== true) return { kind: 'sas', from, query: sasQuery(sas, from, code) };
  return {
    kind: 'entra',
    from,
    identity: entraOf(value, from, code),
    authority: options.authorityHost ?? value('AZURE_AUTHORITY_HOST'),
    account: useAAD === true ? undefined : accountOf(value, options),
  };
}

function accountOf(value: Value, options: AzureOptions) {
  const subscription = options.subscription ?? value('AZURE_SUBSCRIPTION_ID');
  const resourceGroup = options.resourceGroup ?? value('AZURE_RESOURCE_GROUP');
  return subscription === undefined || resourceGroup === undefined ? undefined : { subscription, resourceGroup };
}

function entraOf(value: Value, from: string, code: Choice['code']): EntraIdentity {
  const client = value('AZURE_CLIENT_ID');
  const tenant = value('AZURE_TENANT_ID');
  const secret = value('AZURE_CLIENT_SECRET');
  const pem = value('AZURE_CLIENT_CERTIFICATE');
  const path = value('AZURE_CLIENT_CERTIFICATE_PATH');
  const tokenFile = value('AZURE_FEDERATED_TOKEN_FILE');
  const named = secret ?? pem ?? path ?? tokenFile;
  if (named === undefined) return { kind: 'managed', client };
  if (client === undefined || tenant === undefined) {
    const missing = [...(tenant ? [] : ['AZURE_TENANT_ID']), ...(client ? [] : ['AZURE_CLIENT_ID'])].join(' and ');
    throw new DatamoverError(code, `${from}: ${missing} missing`, {
      hint: `set ${missing} to the identity that the secret, certificate or token belongs to`,
    });
  }
  if (secret !== undefined) return { kind: 'secret', tenant, client, secret };
  if (pem !== undefined || path !== undefined) {
    const certificate = pem === undefined ? { path: path ?? '' } : { pem };
    return { kind: 'certificate', tenant, client, certificate, password: value('AZURE_CLIENT_CERTIFICATE_PASSWORD') };
  }
  return { kind: 'federated', tenant, client, tokenFile: tokenFile ?? '' };
}

function keyBytes(text: string, where: string, code: Choice['code']): Uint8Array {
  const key = text.trim();
  const bytes = Buffer.from(key, 'base64');
  if (key !== '' && bytes.toString('base64').replace(/=+$/, '') === key.replace(/=+$/, '')) return bytes;
  throw new DatamoverError(code, `${where}: invalid account key: not base64`, {
    hint: `copy the key again: az storage account keys list --account-name ACCOUNT; it belongs into the file of ${CREDENTIALS}`,
  });
}

/** With or without its `?`, or at the end of a URL, as the portal shows it. */
function sasQuery(text: string, where: string, code: Choice['code']): string {
  const query = text
    .trim()
    .replace(/^\uFEFF/, '')
    .replace(/^[^?\s]*\?/, '')
    .replaceAll('&amp;', '&');
  const parameters = new URLSearchParams(query);
  if (!/\s/.test(query) && parameters.has('sig') && parameters.has('sv')) return query;
  throw new DatamoverError(code, `${where}: invalid shared access signature: expected sv=…&sig=…`, {
    hint: `put the token alone into the file of ${SAS}: az storage container generate-sas --permissions rl …`,
  });
}
