// What files and variables say of endpoint, region and certificates, in the order of the AWS CLI: the plan (and flags), variables,
// the profile of the plan's file, the profile of the user's own. The SDK gets the outcome and reads none of them itself.
import { booleanVariable, type Environment, expandHome, variable } from '../remote/environment.ts';
import type { IdentityOptions } from './identity.ts';
import { type ProfileEntry, type ProfileSet, readCredentialsFile, readUserFiles, settingOf } from './profiles.ts';

export interface SettingsOptions extends IdentityOptions {
  readonly endpoint?: string;
  readonly region?: string;
}

export interface Settings {
  /** As it was written; undefined for AWS's own. */
  readonly endpoint: string | undefined;
  /** Undefined when nobody says. */
  readonly region: string | undefined;
  /** Which of AWS's own endpoints; false with another one. */
  readonly fips: boolean;
  readonly dualstack: boolean;
  /** Where roles are asked for; undefined for AWS's own. Throws USAGE as this does, and only who asks for a role needs it. */
  readonly stsEndpoint: () => string | undefined;
  /** A file of certificates that the plan does not name, and what names it. */
  readonly caBundle: { readonly file: string; readonly namedBy: string } | undefined;
}

/**
 * Reads the files as `readIdentity` does. USAGE for a variable that is neither true nor false where it decides; PLAN_INVALID for
 * a credentials file that cannot be read.
 */
export async function readSettings(options: SettingsOptions, env: Environment): Promise<Settings> {
  const lookup = await openLookup(options, env);
  const ignored = (): boolean =>
    booleanVariable(env, 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') ??
    isTrue(lookup.user('ignore_configured_endpoint_urls'));
  const configured = (service: string): string | undefined => {
    const found =
      variable(env, `AWS_ENDPOINT_URL_${service}`, 'AWS_ENDPOINT_URL') ??
      lookup.endpoint(service.toLowerCase(), { planToo: service === 'S3' });
    return found === undefined || ignored() ? undefined : found;
  };
  const endpoint = options.endpoint ?? configured('S3');
  const flag = (name: string, key: string): boolean =>
    endpoint === undefined && (booleanVariable(env, name) ?? isTrue(lookup.any(key)));
  return {
    endpoint,
    region: options.region ?? variable(env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? lookup.any('region'),
    fips: flag('AWS_USE_FIPS_ENDPOINT', 'use_fips_endpoint'),
    dualstack: flag('AWS_USE_DUALSTACK_ENDPOINT', 'use_dualstack_endpoint'),
    stsEndpoint: () => configured('STS'),
    caBundle: caBundle(env, lookup),
  };
}

function caBundle(env: Environment, lookup: Lookup): Settings['caBundle'] {
  const named = variable(env, 'AWS_CA_BUNDLE');
  if (named !== undefined) return { file: expandHome(named, env), namedBy: 'AWS_CA_BUNDLE' };
  const file = lookup.user('ca_bundle');
  if (file !== undefined) return { file: expandHome(file, env), namedBy: `ca_bundle in ${lookup.files}` };
  const bySystem = variable(env, 'SSL_CERT_FILE');
  return bySystem === undefined ? undefined : { file: bySystem, namedBy: 'SSL_CERT_FILE' };
}

interface Lookup {
  /** The plan's file first. */
  any(key: string): string | undefined;
  /** The user's own files only: what a file of a cluster says of this machine's files is no use. */
  user(key: string): string | undefined;
  /**
   * `endpoint_url` of a service. The plan's file has a say in S3's only: a token of this machine goes to no endpoint that a
   * file names.
   */
  endpoint(service: string, options: { readonly planToo: boolean }): string | undefined;
  readonly files: string;
}

async function openLookup({ credentialsFile, profile }: IdentityOptions, env: Environment): Promise<Lookup> {
  const plan = credentialsFile === undefined ? undefined : await readCredentialsFile(credentialsFile);
  const own = await readUserFiles(env);
  const exported = variable(env, 'AWS_PROFILE', 'AWS_DEFAULT_PROFILE') ?? 'default';
  const ownName = plan === undefined ? (profile ?? exported) : exported;
  const of = (set: ProfileSet | undefined, name: string, key: string): string | undefined =>
    settingOf(set?.profiles.get(name), key);
  const endpointOf = (set: ProfileSet | undefined, name: string, service: string): string | undefined => {
    const services = of(set, name, 'services');
    const section = services === undefined ? undefined : set?.services.get(services);
    return nestedValue(section?.entries.get(service), 'endpoint_url') ?? of(set, name, 'endpoint_url');
  };
  const planName = profile ?? 'default';
  return {
    any: (key) => of(plan, planName, key) ?? of(own, ownName, key),
    user: (key) => of(own, ownName, key),
    endpoint: (service, { planToo }) =>
      (planToo ? endpointOf(plan, planName, service) : undefined) ?? endpointOf(own, ownName, service),
    files: own.files.join(' and '),
  };
}

function nestedValue(entry: ProfileEntry | undefined, key: string): string | undefined {
  return entry?.nested.get(key)?.value || undefined;
}

function isTrue(value: string | undefined): boolean {
  return value?.toLowerCase() === 'true';
}
