// A container of Azure as `--source` names it: azure://ACCOUNT/CONTAINER/PREFIX, or the URL that the portal shows.
import { AZURE_CLOUDS, AZURE_DOMAINS, type AzureCloud } from '../../azure-options.ts';
import { refuse } from './usage.ts';

export interface AzurePlace {
  readonly account: string;
  readonly container: string;
  readonly prefix?: string;
  readonly endpoint?: string;
  readonly cloud?: AzureCloud;
}

const FORM = 'use azure://ACCOUNT/CONTAINER/PREFIX or https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX';

/** Undefined for another kind of source. USAGE for one of Azure that names no container, and for a URL with a signature. */
export function parseAzurePlace(source: string): AzurePlace | undefined {
  const [scheme = ''] = /^[a-z]+(?=:\/\/)/i.exec(source) ?? [];
  if (/^azure$/i.test(scheme)) {
    const [, account = '', container = '', prefix = ''] = /^azure:\/\/([^/]*)\/?([^/]*)\/?(.*)$/i.exec(source) ?? [];
    return place({ source, account, container, prefix });
  }
  if (!/^https?$/i.test(scheme)) return undefined;
  const url = URL.parse(source);
  const [, name, secondary, zone, domain = ''] =
    /^([a-z0-9]+)(-secondary)?\.(z\d+\.)?blob\.(.+)$/.exec(url?.hostname ?? '') ?? [];
  const cloud = AZURE_CLOUDS.find((one) => AZURE_DOMAINS[one] === domain);
  if (url === null || name === undefined || cloud === undefined) return undefined;
  // Not quoted: it is as good as a password.
  if (url.search !== '') {
    refuse(
      `invalid --source: the URL of account ${name} contains a query`,
      'put the shared access signature behind the ? into a file, and add --sas-token-file FILE',
    );
  }
  const [, container = '', prefix = ''] = /^\/([^/]*)\/?(.*)$/.exec(decode(url.pathname, source)) ?? [];
  const known = url.protocol === 'https:' && secondary === undefined && zone === undefined && url.port === '';
  return {
    ...place({ source, account: name, container, prefix }),
    ...(known ? {} : { endpoint: url.origin }),
    ...(cloud === AZURE_CLOUDS[0] ? {} : { cloud }),
  };
}

function place({ source, account, container, prefix }: Record<'source' | 'account' | 'container' | 'prefix', string>) {
  if (account === '' || container === '') {
    refuse(`invalid --source ${source}: no ${account === '' ? 'account' : 'container'}`, FORM);
  }
  const bare = prefix.replace(/\/+$/, '');
  return { account, container, ...(bare === '' ? {} : { prefix: bare }) };
}

function decode(path: string, source: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return refuse(`invalid --source ${source}: a malformed escape`, FORM);
  }
}
