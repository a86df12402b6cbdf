// Choices of the S3 store that need no server: region, path style, prefix, proxies, checksums.
import { test } from 'tap';
import { bypassesProxy, readProxyEnvironment } from '../../../src/store/remote/proxy.ts';
import { readTimeoutMs } from '../../../src/store/remote/read-timeout.ts';
import { DEFAULT_RETRY_POLICY, withStall } from '../../../src/store/retry/policy.ts';
import { fullChecksums } from '../../../src/store/s3/checksums.ts';
import {
  checkBucket,
  checkEndpoint,
  choosePathStyle,
  chooseRegion,
  normalPrefix,
} from '../../../src/store/s3/options.ts';

test('the region', async (t) => {
  const endpoint = 'http://minio:9000';
  t.equal(chooseRegion({ region: 'r', endpoint }), 'r');
  t.equal(chooseRegion({ region: undefined, endpoint }), 'us-east-1', 'any will do');
  t.throws(() => chooseRegion({ region: undefined, endpoint: undefined }), {
    code: 'PLAN_INVALID',
    message: /no S3 region/,
  });
});

test('regions and buckets that are none', async (t) => {
  for (const region of ['us east', 'us-east-1\n', '-a', 'a_b', 'x'.repeat(64)]) {
    t.throws(() => chooseRegion({ region, endpoint: undefined }), { code: 'PLAN_INVALID' }, JSON.stringify(region));
  }
  for (const bucket of ['', 'a/b', 'a b', 'a\n', 'arn:aws:s3:us-east-1:123456789012:accesspoint/x']) {
    t.throws(() => checkBucket({ bucket }), { code: 'PLAN_INVALID' }, JSON.stringify(bucket));
  }
  for (const bucket of ['b', 'my.bucket-1', 'Old_Name', 'tenant:bucket']) checkBucket({ bucket });
});

test('path style', async (t) => {
  const style = (endpoint?: string, forcePathStyle?: boolean): boolean => {
    const options = { bucket: 'b', ...(forcePathStyle === undefined ? {} : { forcePathStyle }) };
    return choosePathStyle(options, checkEndpoint(endpoint));
  };
  t.equal(style('https://minio.example'), true);
  t.equal(style('https://minio.example', false), false);
  t.equal(style(), false);
  t.equal(style(undefined, true), true);
  t.equal(style('https://s3.eu-west-1.amazonaws.com'), false);
  t.equal(style('https://amazonaws.com.example'), true);
});

test('the prefix', async (t) => {
  for (const [prefix, normal] of [
    [undefined, ''],
    ['', ''],
    ['/', ''],
    ['a', 'a/'],
    ['a/b//', 'a/b/'],
    ['/a', '/a/'],
  ] as const) {
    t.equal(normalPrefix({ bucket: 'b', ...(prefix === undefined ? {} : { prefix }) }), normal, `${prefix}`);
  }
});

test('the stall time', async (t) => {
  t.equal(readTimeoutMs({}), undefined);
  t.equal(readTimeoutMs({ KUBEVIRT_DM_READ_TIMEOUT_SECONDS: '' }), undefined);
  t.equal(readTimeoutMs({ KUBEVIRT_DM_READ_TIMEOUT_SECONDS: '90' }), 90_000);
  t.equal(readTimeoutMs({ KUBEVIRT_DM_READ_TIMEOUT_SECONDS: '90\r\n' }), 90_000, 'with the line break of an echo');
  t.equal(readTimeoutMs({ KUBEVIRT_DM_READ_TIMEOUT_SECONDS: '0.5' }), 500);
  for (const text of ['0', '-1', '30s', '1e3', 'soon', '3601']) {
    t.throws(() => readTimeoutMs({ KUBEVIRT_DM_READ_TIMEOUT_SECONDS: text }), { code: 'USAGE' }, text);
  }
  const longer = withStall(DEFAULT_RETRY_POLICY, 90_000);
  t.match(longer, { stallMs: 90_000, silentMs: 180_000, unansweredMs: 45_000 }, 'the patience grows with it');
  t.match(withStall(DEFAULT_RETRY_POLICY, 5_000), { stallMs: 5_000, silentMs: 60_000, unansweredMs: 15_000 });
});

test('proxies', async (t) => {
  const to = (hostname: string, port = 443) => ({ protocol: 'https:' as const, hostname, port });
  const proxies = (no_proxy?: string) =>
    readProxyEnvironment({ HTTPS_PROXY: 'proxy:3128', ...(no_proxy === undefined ? {} : { no_proxy }) });
  t.equal(proxies().https_proxy, 'http://proxy:3128/');
  t.equal(bypassesProxy(proxies(), to('s3')), false);
  t.equal(bypassesProxy(proxies(), { ...to('s3'), protocol: 'http:' }), true);
  t.equal(readProxyEnvironment({ http_proxy: 'http://low', HTTP_PROXY: 'http://up' }).http_proxy, 'http://low/');
  const excepted: [string, string, boolean][] = [
    ['*', 's3', true],
    ['a, S3', 's3', true],
    ['s3:443', 's3', true],
    ['s3:9000', 's3', false],
    ['.svc', 's3.ns.svc', true],
    ['*.svc', 's3.ns.svc', true],
    ['svc', 's3.ns.svc', false],
    ['', 's3', false],
  ];
  for (const [exceptions, host, direct] of excepted) {
    t.equal(bypassesProxy(proxies(exceptions), to(host)), direct, `${host} under NO_PROXY=${exceptions}`);
  }
});

test('checksums of the whole object only', async (t) => {
  const sha256 = Buffer.alloc(32, 0xab);
  t.same(fullChecksums({ ChecksumCRC32: 'AAECAw==', ChecksumSHA256: sha256.toString('base64') }), [
    { algorithm: 'crc32', hex: '00010203' },
    { algorithm: 'sha256', hex: 'ab'.repeat(32) },
  ]);
  t.same(fullChecksums({ ChecksumCRC64NVME: 'AAECAwQFBgc=', ChecksumType: 'FULL_OBJECT' }), [
    { algorithm: 'crc64nvme', hex: '0001020304050607' },
  ]);
  t.same(fullChecksums({ ChecksumCRC32: 'AAECAw==-3' }), [], 'of parts');
  t.same(fullChecksums({ ChecksumCRC32: 'AAECAw==', ChecksumType: 'COMPOSITE' }), [], 'of parts, said by the type');
  t.same(fullChecksums({ ChecksumCRC32: 'AAEC', ChecksumSHA1: '' }), [], 'of a wrong length');
  t.same(fullChecksums({}), []);
});
