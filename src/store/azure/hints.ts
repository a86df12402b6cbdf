// What to change when Azure refuses: each hint names the flag and the key of the plan.
import type { SourceNames } from '../remote/failure-context.ts';

export const ENDPOINT = '--endpoint (source.azure.endpoint)';
export const CREDENTIALS = '--credentials-file (source.azure.credentialsFile)';
export const SAS = '--sas-token-file (source.azure.sasTokenFile)';

export const AZURE_NAMES: SourceNames = { endpoint: ENDPOINT, caFile: '--ca-file (source.azure.caFile)' };

export const NO_AZURE_HINT = `check ${ENDPOINT}: a web server or a proxy answers there, not Azure Blob Storage`;

export const ROLE_HINT =
  'assign the role "Storage Blob Data Reader" on the account or container to this identity; a new assignment takes some minutes';

/** The header with the request's id, which every answer of the service has. */
export const AZURE_REQUEST_ID = 'x-ms-request-id';
