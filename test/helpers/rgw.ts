// The real S3 server of the tests: Ceph RGW, one for a whole run of scripts/test, else one for this process.
import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { z } from 'zod';
import { MiB } from '../../src/units.ts';
import { type PutBody, signedPut } from './signed-put.ts';
import type { Owner } from './tmp.ts';

/** What `requires` must find before `startRgw`. */
export const RGW_TOOLS = ['radosgw', 'radosgw-admin', 'ceph-mon', 'ceph-osd', 'ceph', 'setpriv'] as const;

const CONNECTION = z.strictObject({
  endpoint: z.url(),
  region: z.string(),
  accessKey: z.string(),
  secretKey: z.string(),
});

type RgwConnection = z.infer<typeof CONNECTION>;

export interface Rgw extends RgwConnection {
  /** The SDK's client with the right keys, path style, no checksums of its own making. */
  readonly client: S3Client;
  /** The environment that gives a child process the right keys. */
  readonly env: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string };
  /** Makes a bucket, of a new name when none is given; emptied and removed when the test ends. */
  createBucket(name?: string): Promise<string>;
  /** Makes a bucket readable and listable without a signature. */
  openToAll(bucket: string): Promise<void>;
  /** Stores one object. */
  put(bucket: string, key: string, body: string | Uint8Array): Promise<void>;
  remove(bucket: string, key: string): Promise<void>;
  /** Stores every file under `folder` as `<prefix><path in the folder>`. */
  putFolder(bucket: string, folder: string, prefix?: string): Promise<void>;
}

/**
 * The server, started (in about 13 s) if scripts/test has not done so. It ends with this process, also when that is
 * killed. Buckets made through what this returns end with `t`.
 */
export async function startRgw(t: Owner): Promise<Rgw> {
  const connection = await connect();
  const client = new S3Client({
    endpoint: connection.endpoint,
    region: connection.region,
    forcePathStyle: true,
    credentials: { accessKeyId: connection.accessKey, secretAccessKey: connection.secretKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const made: string[] = [];
  // The server closes connections that are idle for longer.
  const agent = new Agent({ keepAlive: true, timeout: 10_000 });
  const put = (bucket: string, key: string, body: PutBody): Promise<void> =>
    signedPut({ ...connection, agent }, { bucket, key }, body);
  t.teardown(async () => {
    for (const bucket of made) await removeBucket(client, bucket);
    client.destroy();
    agent.destroy();
  });
  const rgw: Rgw = {
    ...connection,
    client,
    env: { AWS_ACCESS_KEY_ID: connection.accessKey, AWS_SECRET_ACCESS_KEY: connection.secretKey },
    createBucket: async (name = `test-${crypto.randomUUID()}`) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      made.push(name);
      return name;
    },
    openToAll: async (bucket) => {
      const Resource = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
      const Statement = [{ Effect: 'Allow', Principal: '*', Action: ['s3:GetObject', 's3:ListBucket'], Resource }];
      const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
      await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
    },
    put: async (bucket, key, body) => {
      const bytes = Buffer.from(body);
      await put(bucket, key, { bytes, length: bytes.length });
    },
    remove: async (bucket, key) => {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
    },
    putFolder: (bucket, folder, prefix = '') =>
      putFolder(folder, (name, body) => put(bucket, `${prefix}${name}`, body)),
  };
  return rgw;
}

let started: Promise<RgwConnection> | undefined;

function connect(): Promise<RgwConnection> {
  const shared = process.env.KUBEVIRT_DM_TEST_RGW;
  if (shared !== undefined && shared !== '') return Promise.resolve(CONNECTION.parse(JSON.parse(shared)));
  started ??= launch();
  return started;
}

/** scripts/rgw serves until its standard input ends, which it does when this process is gone, however it went. */
async function launch(): Promise<RgwConnection> {
  const script = fileURLToPath(new URL('../../scripts/rgw', import.meta.url));
  const child = spawn(script, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const said = text(child.stderr);
  for await (const line of createInterface({ input: child.stdout })) {
    letGo(child);
    return CONNECTION.parse(JSON.parse(line));
  }
  throw new Error(`the S3 server did not start: ${await said}`);
}

/** The server must not keep this process alive. */
function letGo(child: ChildProcess): void {
  child.unref();
  for (const stream of child.stdio) {
    if (stream !== null && stream !== undefined && 'unref' in stream && typeof stream.unref === 'function') {
      stream.unref();
    }
  }
}

async function putFolder(folder: string, put: (name: string, body: PutBody) => Promise<void>): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    const info = await stat(path);
    if (info.isFile()) await put(name, { bytes: createReadStream(path, { highWaterMark: MiB }), length: info.size });
  }
}

async function removeBucket(client: S3Client, bucket: string): Promise<void> {
  for (;;) {
    const page = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
    const keys = (page.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [{ Key }]));
    if (keys.length === 0) break;
    await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: keys, Quiet: true } }));
  }
  await client.send(new DeleteBucketCommand({ Bucket: bucket }));
}
