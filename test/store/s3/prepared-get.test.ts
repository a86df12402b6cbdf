// A prepared request is the one that the SDK would send: same address, same headers, whatever the key and the endpoint.
import { GetObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { HttpRequest } from '@smithy/types';
import { test } from 'tap';
import { PreparedGet, SOME_KEY } from '../../../src/store/s3/prepared-get.ts';

const KEYS = [
  'a/b c+d%41.qcow2',
  'ünïcödé 日本',
  "(!'*)~$&,;=:@?#[]",
  '/starts/with',
  'a//b',
  'back\\slash',
  'key',
  'x/key',
];

const ENDPOINTS: readonly [string, S3ClientConfig][] = [
  ['virtual hosts', { region: 'eu-west-1' }],
  ['dual-stack and FIPS', { region: 'us-west-2', useDualstackEndpoint: true, useFipsEndpoint: true }],
  ['China', { region: 'cn-north-1' }],
  ['path style', { region: 'us-east-1', endpoint: 'http://127.0.0.1:9000', forcePathStyle: true }],
  ['an endpoint with a path', { region: 'us-east-1', endpoint: 'https://s3.example/base', forcePathStyle: true }],
  ['a bucket in the host name', { region: 'us-east-1', endpoint: 'https://s3.example:8443' }],
];

for (const [name, config] of ENDPOINTS) {
  test(name, async (t) => {
    let sent: HttpRequest | undefined;
    const handle = (request: HttpRequest): never => {
      sent = request;
      throw new Error('not sent');
    };
    const credentials = { accessKeyId: 'a', secretAccessKey: 'b', sessionToken: 'c' };
    const requestHandler = { handle: async (request: HttpRequest) => handle(request) };
    const client = new S3Client({ ...config, credentials, requestHandler, maxAttempts: 1 });
    const sse = { SSECustomerAlgorithm: 'AES256', SSECustomerKey: Buffer.alloc(32, 1).toString('base64') };
    const object = { Bucket: 'bucket', ...sse };
    const prepared = await PreparedGet.from(client, new GetObjectCommand({ ...object, Key: SOME_KEY }));
    t.equal(sent, undefined, 'nothing is sent for it');
    for (const key of KEYS) {
      const ranged = { Range: 'bytes=5-9', IfMatch: '"tag"' };
      await t.rejects(client.send(new GetObjectCommand({ ...object, ...ranged, Key: key })), /not sent/);
      const own = await prepared?.sign({ key, range: 'bytes=5-9', ifMatch: '"tag"' });
      const address = ({ method, protocol, hostname, port, path, query }: HttpRequest) => {
        return { method, protocol, hostname, port, path, query };
      };
      if (own === undefined || sent === undefined) throw new Error('no request');
      t.same(address(own), address(sent), key);
      t.same(headersOf(own), headersOf(sent), key);
      t.match(own.headers.authorization, scopeOf(sent), key);
    }
  });
}

/** Without those of one attempt, and those that depend on the time. */
function headersOf({ headers }: HttpRequest): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !/^(amz-sdk-|authorization$|x-amz-date$)/i.test(name));
  return Object.fromEntries(kept.map(([name, value]): [string, string] => [name.toLowerCase(), value]).sort());
}

/** Region and service that it is signed for. */
function scopeOf({ headers }: HttpRequest): string {
  return /\/\d{8}(\/.*?\/aws4_request)/.exec(headers.authorization ?? '')?.[1] ?? 'no scope';
}
