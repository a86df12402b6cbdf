// What a plan says of a bucket of Google Cloud Storage, and the parts of it that are refused before any request. Pure.
import { DatamoverError } from '../../errors.ts';
import type { GcsOptions } from '../../gcs-options.ts';
import { ENDPOINT } from './hints.ts';

/** PLAN_INVALID for what is no name of a bucket (Google's naming rules). */
export function checkBucket({ bucket }: GcsOptions): void {
  if (/^[a-z0-9](?:[a-z0-9._-]{1,220})[a-z0-9]$/.test(bucket)) return;
  throw new DatamoverError('PLAN_INVALID', `invalid bucket name ${JSON.stringify(bucket)}`, {
    hint: 'give only the name of the bucket, in lower case; put the path before checkpoints/ and manifests/ into the prefix',
  });
}

/** PLAN_INVALID for an endpoint that holds a password or is no http(s) URL. */
export function endpointOf({ endpoint }: GcsOptions): URL {
  const url = URL.parse(endpoint ?? 'https://storage.googleapis.com');
  const hint = `set ${ENDPOINT} to a URL such as https://storage.googleapis.com, or remove it`;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    // Not quoted: what is no URL may hold anything, a password too.
    throw new DatamoverError('PLAN_INVALID', 'the endpoint of Google Cloud Storage is not an http or https URL', {
      hint,
    });
  }
  const extra =
    url.username + url.password !== ''
      ? 'user name or password'
      : url.search + url.hash !== ''
        ? 'query or fragment'
        : '';
  if (extra === '') return url;
  throw new DatamoverError('PLAN_INVALID', `the endpoint ${url.host} contains a ${extra}`, { hint });
}

/** The prefix as the beginning of a name: '' or ending in one '/'. */
export function normalPrefix({ prefix }: GcsOptions): string {
  const bare = (prefix ?? '').replace(/\/+$/, '');
  return bare === '' ? '' : `${bare}/`;
}
