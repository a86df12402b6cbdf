// Which identity is used: the plan's, else the environment's and the user's own files. Decided before any SDK is asked.
import { DatamoverError } from '../../errors.ts';
import { type Environment, variable } from '../remote/environment.ts';
import { exportedKeys, exportedWebIdentity, machineIdentity } from './exported.ts';
import { type Identity, noCredentials } from './identity-types.ts';
import { identityOf, type ProfileContext } from './profile-identity.ts';
import { missingProfile, type Profile, type ProfileSet, readCredentialsFile, readUserFiles } from './profiles.ts';

export interface IdentityOptions {
  readonly credentialsFile?: string;
  readonly profile?: string;
}

/**
 * The identity that the plan's file gives, else the environment and the user's own files in the order of the AWS CLI: a profile
 * that the plan names; exported keys; AWS_PROFILE; an exported web identity; the profile [default]; the container's; the
 * machine's. PLAN_INVALID for a file or profile of the plan that cannot be used, ACCESS_DENIED where there are no keys.
 */
export async function readIdentity(options: IdentityOptions, env: Environment): Promise<Identity> {
  const { credentialsFile, profile } = options;
  if (credentialsFile !== undefined) {
    const files = await readCredentialsFile(credentialsFile);
    const chosen = profileOf(files, profile ?? 'default', 'source.s3.profile');
    const identity = identityOf({ files, env, trusted: false, visited: [] }, chosen);
    if (identity !== undefined) return identity;
    throw noCredentials(`${chosen.where}: [${chosen.name}] has neither keys nor a role`);
  }
  const files = await readUserFiles(env);
  const context: ProfileContext = { files, env, trusted: true, visited: [] };
  if (profile !== undefined) {
    const chosen = profileOf(files, profile, 'source.s3.profile, --profile');
    return identityOf(context, chosen) ?? machineIdentity(env);
  }
  const keys = exportedKeys(env);
  if (keys !== undefined) return keys;
  const named = variable(env, 'AWS_PROFILE', 'AWS_DEFAULT_PROFILE');
  if (named !== undefined) {
    const chosen = files.profiles.get(named);
    if (chosen === undefined) throw noCredentials(`AWS_PROFILE: ${missingProfile(files, named)}`);
    return identityOf(context, chosen) ?? exportedWebIdentity(env) ?? machineIdentity(env);
  }
  const fallback = files.profiles.get('default');
  return (
    exportedWebIdentity(env) ??
    (fallback === undefined ? undefined : identityOf(context, fallback)) ??
    machineIdentity(env)
  );
}

function profileOf(files: ProfileSet, name: string, setting: string): Profile {
  const chosen = files.profiles.get(name);
  if (chosen !== undefined) return chosen;
  const [file = 'profile'] = files.files;
  const where = files.files.length === 1 ? `${file}: ` : '';
  throw new DatamoverError('PLAN_INVALID', `${where}${missingProfile(files, name)}`, {
    hint: `name a section that exists as ${setting}`,
  });
}
