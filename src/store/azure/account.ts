// Where an account's blobs are, and what of it is refused before any request. Pure.
import { AZURE_CLOUDS, type AzureCloud, type AzureOptions } from '../../azure-options.ts';
import { DatamoverError } from '../../errors.ts';
import { ENDPOINT } from './hints.ts';

export interface CloudNames {
  /** What follows `ACCOUNT.` in the host name of its blobs. */
  readonly blobDomain: string;
  readonly authority: string;
  readonly management: string;
}

export const CLOUDS: Readonly<Record<AzureCloud, CloudNames>> = {
  AzurePublicCloud: {
    blobDomain: 'blob.core.windows.net',
    authority: 'https://login.microsoftonline.com',
    management: 'https://management.azure.com',
  },
  AzureUSGovernmentCloud: {
    blobDomain: 'blob.core.usgovcloudapi.net',
    authority: 'https://login.microsoftonline.us',
    management: 'https://management.usgovcloudapi.net',
  },
  AzureChinaCloud: {
    blobDomain: 'blob.core.chinacloudapi.cn',
    authority: 'https://login.chinacloudapi.cn',
    management: 'https://management.chinacloudapi.cn',
  },
};

/** A cloud by a name that Azure's tools use, in any case: `AzureCloud`, `AzureUSGovernment`. */
export function cloudOf(name: string): AzureCloud | undefined {
  const plain = (text: string): string => text.toLowerCase().replace(/cloud$/, '');
  const wanted = plain(name) === 'azure' ? 'azurepublic' : plain(name);
  return AZURE_CLOUDS.find((cloud) => plain(cloud) === wanted);
}

/** PLAN_INVALID for what is no name of an account or a container (Azure's naming rules). */
export function checkNames({ account, container }: AzureOptions): void {
  if (!/^[a-z0-9]{3,24}$/.test(account)) {
    throw new DatamoverError('PLAN_INVALID', `invalid storage account name ${JSON.stringify(account)}`, {
      hint: 'give only the name of the account, 3 to 24 lower-case letters and digits; its host name is the endpoint',
    });
  }
  if (!/^(?:\$(?:root|web)|(?!.*--)[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9])$/.test(container)) {
    throw new DatamoverError('PLAN_INVALID', `invalid container name ${JSON.stringify(container)}`, {
      hint: 'give only the name of the container; put the path before checkpoints/ and manifests/ into the prefix',
    });
  }
}

/** The account's blob endpoint. PLAN_INVALID for one that holds a password or signature or is no http(s) URL. */
export function endpointOf({ account, endpoint }: AzureOptions, cloud: AzureCloud): URL {
  const url = URL.parse(endpoint ?? `https://${account}.${CLOUDS[cloud].blobDomain}`);
  const hint = `set ${ENDPOINT} to the blob endpoint of the account, such as https://ACCOUNT.blob.core.windows.net`;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    // Not quoted: what is no URL may hold anything, a signature too.
    throw new DatamoverError('PLAN_INVALID', 'the Azure endpoint is not an http or https URL', { hint });
  }
  if (url.username !== '' || url.password !== '') {
    throw new DatamoverError('PLAN_INVALID', `the Azure endpoint ${url.host} contains a user name or password`, {
      hint,
    });
  }
  if (url.search !== '' || url.hash !== '') {
    throw new DatamoverError('PLAN_INVALID', `the Azure endpoint ${url.host} contains a query or fragment`, {
      hint: 'remove it; put a shared access signature into a file and name it with --sas-token-file (source.azure.sasTokenFile)',
    });
  }
  return url;
}

/** The prefix as the beginning of a blob's name: '' or ending in one '/'. */
export function normalPrefix({ prefix }: AzureOptions): string {
  const bare = (prefix ?? '').replace(/\/+$/, '');
  return bare === '' ? '' : `${bare}/`;
}
