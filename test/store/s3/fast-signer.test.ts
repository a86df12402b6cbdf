// The signatures are those that the SDK's own signer makes: of any key, condition, token, region and time.
import { S3Client } from '@aws-sdk/client-s3';
import * as fc from 'fast-check';
import { test } from 'tap';
import { encodePath } from '../../../src/store/http/message.ts';
import { FastSigner } from '../../../src/store/s3/fast-signer.ts';

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
const header = fc.string({ unit: 'grapheme-ascii', maxLength: 20 });

const requests = fc.record({
  key: text,
  secret: text,
  token: fc.option(text, { nil: undefined }),
  region: fc.constantFrom('us-east-1', 'eu-west-1', 'default'),
  seconds: fc.integer({ min: 0, max: 3 * 86_400 }),
  condition: header,
  other: header,
});

test('as the SDK signs', async (t) => {
  // One for all: the key that it keeps is of one secret, day and region.
  const signer = new FastSigner();
  await fc.assert(
    fc.asyncProperty(requests, async ({ key, secret, token, region, seconds, condition, other }) => {
      const credentials = { accessKeyId: 'AKID', secretAccessKey: secret, ...(token && { sessionToken: token }) };
      const client = new S3Client({ region, credentials });
      const date = new Date(Date.UTC(2026, 1, 27, 23, 59, 0) + seconds * 1000);
      const request = {
        method: 'GET',
        protocol: 'https:',
        hostname: 'bucket.example',
        path: `/${encodePath(key)}`,
        query: { 'x-id': 'GetObject' },
        headers: {
          host: 'bucket.example',
          Range: 'bytes=1-2',
          'if-match': condition,
          'User-Agent': other,
          'x-amz-other': other,
        },
      };
      const scheme = {
        name: 'sigv4',
        signingName: 's3',
        signingRegion: region,
        disableDoubleEncoding: true,
        properties: {},
      };
      const sdk = await client.config.signer(scheme);
      const theirs = await sdk.sign(request, { signingDate: date, signingRegion: region, signingService: 's3' });
      const input = { credentials, region, service: 's3', date };
      const ours = signer.sign({ ...request, query: 'x-id=GetObject' }, input);
      t.equal(ours.authorization, theirs.headers.authorization);
      t.equal(ours['x-amz-date'], theirs.headers['x-amz-date']);
      t.equal(ours['x-amz-security-token'], theirs.headers['x-amz-security-token']);
    }),
  );
});
