// What a plan says of an S3 source, and the parts of it that are refused before anything is asked.
import { DatamoverError } from '../../errors.ts';
import type { S3Options } from '../../s3-options.ts';
import type { Settings } from '../aws/settings.ts';

/** The endpoint as a URL, or undefined for AWS's own. PLAN_INVALID for one that holds a password or is no http(s) URL. */
export function checkEndpoint(endpoint: string | undefined): URL | undefined {
  if (endpoint === undefined) return undefined;
  const url = URL.parse(endpoint);
  const hint = 'set endpoint (or AWS_ENDPOINT_URL) to a URL such as https://s3.example.com or http://host:port';
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    // Not quoted: what is no URL may hold anything, a password too.
    throw new DatamoverError('PLAN_INVALID', 'the S3 endpoint is not an http or https URL', { hint });
  }
  if (url.username !== '' || url.password !== '') {
    throw new DatamoverError('PLAN_INVALID', `the S3 endpoint ${url.host} contains a user name or password`, {
      hint: 'remove it from the URL; put keys into a credentials file or the environment',
    });
  }
  if (url.search !== '' || url.hash !== '') {
    throw new DatamoverError('PLAN_INVALID', `the S3 endpoint ${endpoint} contains a query or fragment`, { hint });
  }
  return url;
}

/**
 * The region to sign for. Servers other than AWS's take any, so that one is made up rather than asked for when an endpoint is
 * given. PLAN_INVALID for an invalid name, and for none at all.
 */
export function chooseRegion({ region, endpoint }: Pick<Settings, 'region' | 'endpoint'>): string {
  if (region === undefined) {
    if (endpoint !== undefined) return 'us-east-1';
    throw new DatamoverError('PLAN_INVALID', 'no S3 region set', {
      hint: 'set region (source.s3.region, --region) or AWS_REGION; with a custom endpoint any region works',
    });
  }
  // What the SDK takes.
  if (/^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/.test(region)) return region;
  throw new DatamoverError('PLAN_INVALID', `invalid S3 region ${JSON.stringify(region)}`, {
    hint: 'check source.s3.region, AWS_REGION and region in the credentials file for a space or a line break; a region is letters, digits and -, as in us-east-1',
  });
}

/** PLAN_INVALID for what is no bucket's name: a server other than AWS's may take more than AWS's does, but none of this. */
export function checkBucket({ bucket }: S3Options): void {
  const what = bucket === '' ? 'empty name' : bucket.startsWith('arn:') ? 'an ARN' : undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const why = what ?? (/[\s/\u0000-\u001f\u007f]/.test(bucket) ? 'invalid character' : undefined);
  if (why === undefined) return;
  throw new DatamoverError('PLAN_INVALID', `invalid bucket name ${JSON.stringify(bucket)}: ${why}`, {
    hint: 'name only the bucket, without slashes; the path after it is the prefix (s3://bucket/prefix)',
  });
}

/** Whether the bucket stands in the path: what nearly every server but AWS's wants, unless the plan says otherwise. */
export function choosePathStyle(options: S3Options, endpoint: URL | undefined): boolean {
  if (options.forcePathStyle !== undefined) return options.forcePathStyle;
  return endpoint !== undefined && !/(^|\.)amazonaws\.com(\.cn)?$/.test(endpoint.hostname);
}

/** The prefix as the beginning of a key: '' or ending in one '/'. Otherwise it is used as it is. */
export function normalPrefix({ prefix }: S3Options): string {
  const bare = (prefix ?? '').replace(/\/+$/, '');
  return bare === '' ? '' : `${bare}/`;
}
