// What to change when Google Cloud Storage refuses: each hint names the flag and the key of the plan.
import type { SourceNames } from '../remote/failure-context.ts';

export const ENDPOINT = '--endpoint (source.gcs.endpoint)';
export const CREDENTIALS = '--credentials-file (source.gcs.credentialsFile)';

export const GCS_NAMES: SourceNames = { endpoint: ENDPOINT, caFile: '--ca-file (source.gcs.caFile)' };

export const NO_GCS_HINT = `check ${ENDPOINT}: a web server or a proxy answers there, not Google Cloud Storage`;

export const ROLE_HINT =
  'grant this identity roles/storage.objectViewer on the bucket (storage.objects.get and storage.objects.list); a new grant takes some minutes';

/** The header with the request's id, which every answer of the service has. */
export const GCS_REQUEST_ID = 'x-guploader-uploadid';
