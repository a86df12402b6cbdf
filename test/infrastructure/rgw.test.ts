// The S3 server that other tests rely on is a real one: it keeps bytes, honours ranges and pins, and refuses wrong keys.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

test('a ranged read with a pin gives those bytes, with an old pin nothing', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.put(bucket, 'a/b', 'hello, world');
  const head = await rgw.client.send(new HeadObjectCommand({ Bucket: bucket, Key: 'a/b' }));
  const pinned = { Bucket: bucket, Key: 'a/b', Range: 'bytes=7-11', IfMatch: head.ETag };
  const answer = await rgw.client.send(new GetObjectCommand(pinned));
  t.equal(answer.ContentRange, 'bytes 7-11/12');
  t.equal(await answer.Body?.transformToString(), 'world');
  await rgw.put(bucket, 'a/b', 'changed');
  await t.rejects(rgw.client.send(new GetObjectCommand(pinned)), { name: 'PreconditionFailed' });
});

test('wrong keys are refused', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  const { endpoint, region, accessKey } = rgw;
  const wrong = { accessKeyId: accessKey, secretAccessKey: 'wrong' };
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: wrong });
  t.teardown(() => client.destroy());
  const refused = client.send(new ListObjectsV2Command({ Bucket: bucket }));
  await t.rejects(refused, { name: 'SignatureDoesNotMatch' });
});

test('a folder becomes objects', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'x', 'y'), { recursive: true });
  writeFileSync(join(folder, 'x', 'y', 'one'), '1');
  writeFileSync(join(folder, 'two'), '');
  await rgw.putFolder(bucket, folder, 'pre/');
  const list = await rgw.client.send(new ListObjectsV2Command({ Bucket: bucket }));
  t.same(
    list.Contents?.map(({ Key, Size }) => [Key, Size]),
    [
      ['pre/two', 0],
      ['pre/x/y/one', 1],
    ],
  );
});
