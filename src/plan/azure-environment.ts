// The source of `download` where the backup storage location is in Azure.
import { omitUndefined } from '../omit-undefined.ts';
import type { AzureSource } from './plan.ts';
import { addProblem, booleanOf, type Reader, readCaText, readVariable, required } from './variables.ts';

/** The container is the location's bucket. Identity and cloud come from the credentials file and the pod's own variables. */
export function readAzureSource(reader: Reader, credentialsFile: string | undefined): AzureSource {
  const container = required(reader, 'BSL_BUCKET', 'the bucket of the backup storage location');
  const account = required(reader, 'BSL_STORAGE_ACCOUNT', 'the storage account of the backup storage location');
  if (account !== '' && !/^[a-z0-9]{3,24}$/.test(account)) {
    addProblem(
      reader,
      'BSL_STORAGE_ACCOUNT',
      `is not the name of a storage account: ${JSON.stringify(account)}`,
      'set it to 3 to 24 lower-case letters and digits',
    );
  }
  const endpoint = readVariable(reader, 'BSL_STORAGE_ACCOUNT_URI');
  if (endpoint !== undefined && !isUrl(endpoint, /^https?:$/)) {
    const hint = 'set it to the blob endpoint of the account, such as https://ACCOUNT.blob.core.windows.net';
    addProblem(reader, 'BSL_STORAGE_ACCOUNT_URI', 'is not an http or https URL', hint);
  }
  const authorityHost = readVariable(reader, 'BSL_ACTIVE_DIRECTORY_AUTHORITY_URI');
  if (authorityHost !== undefined && !isUrl(authorityHost, /^https:$/)) {
    const hint = 'set it to a URL such as https://login.microsoftonline.com';
    addProblem(reader, 'BSL_ACTIVE_DIRECTORY_AUTHORITY_URI', 'is not an https URL', hint);
  }
  return {
    kind: 'azure',
    account,
    container,
    ...omitUndefined({
      prefix: readVariable(reader, 'BSL_PREFIX'),
      endpoint,
      credentialsFile,
      caPem: readCaText(reader),
      insecureSkipTLSVerify: booleanOf(reader, 'BSL_INSECURE_SKIP_TLS_VERIFY'),
      keyVariable: readVariable(reader, 'BSL_STORAGE_ACCOUNT_KEY_ENV_VAR'),
      useAAD: booleanOf(reader, 'BSL_USE_AAD'),
      subscription: readVariable(reader, 'BSL_SUBSCRIPTION_ID'),
      resourceGroup: readVariable(reader, 'BSL_RESOURCE_GROUP'),
      authorityHost,
    }),
  };
}

function isUrl(text: string, scheme: RegExp): boolean {
  const url = URL.parse(text);
  return url !== null && scheme.test(url.protocol) && url.hostname !== '';
}
