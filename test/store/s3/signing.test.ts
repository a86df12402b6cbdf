// Requests that were signed for the wrong region or time: signed again, once, when the answer says for which.
import { createServer, request } from 'node:http';
import { type Test, test } from 'tap';
import type { RetryEvent } from '../../../src/progress.ts';
import type { S3Options } from '../../../src/s3-options.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, readAll, rejectsWith } from '../../contract/store.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../../helpers/rgw.ts';
import { QUICK, storeBehindPeer } from '../../helpers/s3-peer.ts';

const signal = new AbortController().signal;

/** Status, the region that it names, body. */
type Refusal = readonly [number, string, string];

/** Passes on only what is signed for `region`, as AWS's servers do; all else is answered as they do. */
async function startRegion(t: Test, rgw: Rgw, region: string, wrong: (region: string) => Refusal) {
  const signedFor: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const scope = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(incoming.headers.authorization ?? '')?.[1] ?? '';
    signedFor.push(scope);
    if (scope !== region) {
      const [status, named, body] = wrong(region);
      outgoing.writeHead(status, {
        'content-type': 'application/xml',
        'x-amz-bucket-region': named,
        'x-amz-request-id': 'r',
      });
      outgoing.end(incoming.method === 'HEAD' ? '' : body);
      return;
    }
    const { method, headers } = incoming;
    const forward = request(`${rgw.endpoint}${incoming.url}`, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(forward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { endpoint: `http://127.0.0.1:${address.port}`, signedFor };
}

const MALFORMED = (region: string): Refusal => [
  400,
  region,
  `<?xml version="1.0"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong</Message><Region>${region}</Region></Error>`,
];
const REDIRECT = (region: string): Refusal => [
  301,
  region,
  '<?xml version="1.0"?><Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>',
];

async function open(
  t: Test,
  options: S3Options,
  env: Record<string, string>,
): Promise<{ store: ObjectStore; retries: RetryEvent[] }> {
  const retries: RetryEvent[] = [];
  const onRetry = (event: RetryEvent): void => void retries.push(event);
  const store = await openS3Store(options, { concurrency: 4, env, policy: QUICK, onRetry });
  t.teardown(() => store.close());
  return { store, retries };
}

for (const [name, wrong] of [
  ['a redirect', REDIRECT],
  ['a malformed header', MALFORMED],
] as const) {
  test(`${name} that names the region is followed once`, async (t) => {
    if (!requires(t, ...RGW_TOOLS)) return;
    const rgw = await startRgw(t);
    const bucket = await rgw.createBucket();
    await rgw.put(bucket, 'a/object', 'bytes');
    const region = await startRegion(t, rgw, 'eu-central-1', wrong);
    const { store, retries } = await open(t, { bucket, endpoint: region.endpoint, region: 'us-east-1' }, rgw.env);
    const { etag, size } = await store.head('a/object', { signal });
    const range = { offset: 0, length: size, etag, size, signal };
    t.equal((await readAll(store, 'a/object', range)).toString(), 'bytes');
    t.equal((await listed(store, '')).length, 1);
    t.same(
      retries.map(({ reason }) => reason),
      ['the bucket is in region eu-central-1: signing for it'],
      'said once',
    );
    t.same(region.signedFor, ['us-east-1', 'eu-central-1', 'eu-central-1', 'eu-central-1']);
  });

  test(`${name} under many reads at a time`, async (t) => {
    if (!requires(t, ...RGW_TOOLS)) return;
    const rgw = await startRgw(t);
    const bucket = await rgw.createBucket();
    await rgw.put(bucket, 'object', 'bytes');
    const region = await startRegion(t, rgw, 'eu-central-1', wrong);
    const { store } = await open(t, { bucket, endpoint: region.endpoint, region: 'us-east-1' }, rgw.env);
    const gets = Array.from({ length: 8 }, () => store.get('object', { maxBytes: 10, signal }));
    for (const bytes of await Promise.all(gets)) t.equal(Buffer.from(bytes).toString(), 'bytes');
  });
}

test('a server that names another region each time is not followed for ever', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  let count = 0;
  const region = await startRegion(t, rgw, 'none', () => {
    count += 1;
    return MALFORMED(`eu-west-${count}`);
  });
  const { store, retries } = await open(t, { bucket: 'backups', endpoint: region.endpoint }, rgw.env);
  const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => store.get('object', { maxBytes: 10, signal }));
  t.match(error.message, /the bucket is in region eu-west-2/);
  t.match(error.hint, '--region eu-west-2 (source.s3.region)');
  t.equal(retries.length, 1);
});

test('a clock that is off makes nothing else look like it', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const date = new Date(Date.now() - 6 * 60_000).toUTCString();
  const { store, rgw, bucket, peer } = await storeBehindPeer(t, { object: Buffer.from('bytes') });
  peer.plan = () => ({ kind: 'headers', add: { date } });
  const missing = await rejectsWith(t, 'OBJECT_MISSING', () => store.get('none', { maxBytes: 10, signal }));
  t.equal(missing.message, `s3://${bucket}/none does not exist`);
  const denied = await open(t, { bucket, endpoint: peer.endpoint }, { ...rgw.env, AWS_SECRET_ACCESS_KEY: 'other' });
  const error = await rejectsWith(t, 'ACCESS_DENIED', () => denied.store.get('object', { maxBytes: 10, signal }));
  t.match(error.message, 'SignatureDoesNotMatch');
  t.equal(denied.retries.length, 1, 'signed again for the time of the server, once');
});
