// What a real object store answers: Ceph RGW.
import { createHash } from 'node:crypto';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { startRgw } from '../../../test/helpers/rgw.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import { ask, tapped } from './ask.ts';
import type { Recording } from './main.ts';

const KEY = Buffer.alloc(32, 'k');
const sse = (key: Buffer) => ({
  SSECustomerAlgorithm: 'AES256',
  SSECustomerKey: key.toString('base64'),
  SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
});

export async function recordRgw(t: Owner): Promise<Recording[]> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket('backups-recorded');
  const port = Number(new URL(rgw.endpoint).port);
  await rgw.put(bucket, 'disk.qcow2', 'bytes');
  await rgw.client.send(new PutObjectCommand({ Bucket: bucket, Key: 'secret.qcow2', Body: 'bytes', ...sse(KEY) }));
  const recordings: Recording[] = [];
  const keys = { accessKeyId: rgw.accessKey, secretAccessKey: rgw.secretKey };
  const record = async (
    name: string,
    asked: string,
    send: (client: S3Client) => Promise<unknown>,
    config: S3ClientConfig = {},
  ): Promise<void> => {
    const bytes = await tapped(port, async (relay) => {
      const client = new S3Client({
        endpoint: `http://127.0.0.1:${relay}`,
        region: 'us-east-1',
        forcePathStyle: true,
        maxAttempts: 1,
        credentials: keys,
        ...config,
      });
      await send(client).catch(() => {});
      client.destroy();
    });
    recordings.push({ name: `rgw-${name}`, asked, over: 'http', bytes });
  };
  const get =
    (Key: string, more: object = {}) =>
    (client: S3Client) =>
      client.send(new GetObjectCommand({ Bucket: bucket, Key, Range: 'bytes=0-0', ...more }));
  const list = (Bucket: string) => (client: S3Client) => client.send(new ListObjectsV2Command({ Bucket }));
  await record('no-such-key', 'an object that is not found', get('none'));
  await record('no-such-bucket', 'a bucket that is not found', list('backups-none'));
  await record('invalid-access-key', 'an unknown access key', get('disk.qcow2'), {
    credentials: { ...keys, accessKeyId: 'EXAMPLE' },
  });
  await record('signature', 'a wrong secret key', get('disk.qcow2'), {
    credentials: { ...keys, secretAccessKey: 'EXAMPLE' },
  });
  await record('clock', 'a clock that is an hour slow', get('disk.qcow2'), { systemClockOffset: -3_600_000 });
  await record('denied', 'an object that a bucket policy denies', async (client) => {
    const Policy = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Deny', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${bucket}/disk.qcow2` },
      ],
    });
    await rgw.client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
    await get('disk.qcow2')(client);
  });
  await record('sse-no-key', 'an object of SSE-C without its key', get('secret.qcow2'));
  await record('sse-wrong-key', 'an object of SSE-C with another key', get('secret.qcow2', sse(Buffer.alloc(32, 'x'))));
  const kms = { Bucket: bucket, Key: 'kms', Body: '', ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: 'none' };
  await record('kms', 'a KMS key that its key manager does not have', (client) =>
    client.send(new PutObjectCommand(kms)),
  );
  await record('replaced', 'If-Match of another version', get('secret.qcow2', { ...sse(KEY), IfMatch: '"0"' }));
  await record('range', 'a range after the end', get('secret.qcow2', { ...sse(KEY), Range: 'bytes=100-200' }));
  await record(
    'virtual-host',
    'a bucket in the host name, of a server that only takes it in the path',
    async (client) => {
      client.middlewareStack.add(
        (next) => async (args) => {
          const { request } = args as { request: { path: string; headers: Record<string, string> } };
          request.path = request.path.replace(`/${bucket}`, '');
          return await next(args);
        },
        { step: 'build', priority: 'low' },
      );
      await get('disk.qcow2')(client);
    },
  );
  recordings.push({
    name: 'rgw-no-tls',
    asked: 'TLS of a port that speaks plain http',
    over: 'hello',
    bytes: await ask({ port, over: 'hello' }),
  });
  return recordings;
}
