// PUTs to the S3 server without the SDK, whose middleware takes more CPU than all else that a small object costs.
import { createHash, createHmac } from 'node:crypto';
import { type Agent, type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';

export interface SignedPutOptions {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly agent: Agent;
}

export interface PutBody {
  readonly bytes: Readable | Uint8Array;
  readonly length: number;
}

const PAYLOAD = 'UNSIGNED-PAYLOAD';
const SIGNED = 'host;x-amz-content-sha256;x-amz-date';

/** Stores an object, path style, signed by Signature Version 4. Rejects with the server's words. */
export async function signedPut(
  options: SignedPutOptions,
  { bucket, key }: { readonly bucket: string; readonly key: string },
  { bytes, length }: PutBody,
): Promise<void> {
  const path = `/${bucket}/${key.split('/').map(encoded).join('/')}`;
  const { host, hostname, port } = new URL(options.endpoint);
  const headers = { ...signature(options, { path, host }), host, 'content-length': length };
  const outgoing = request({ method: 'PUT', hostname, port, path, headers, agent: options.agent });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on('response', resolve).on('error', reject);
  });
  if (bytes instanceof Readable) await Promise.all([pipeline(bytes, outgoing), answer]);
  else outgoing.end(bytes);
  const response = await answer;
  const said = await text(response);
  if (response.statusCode !== 200) throw new Error(`PUT ${path}: ${response.statusCode} ${said}`);
}

function signature(
  { region, accessKey, secretKey }: SignedPutOptions,
  { path, host }: { readonly path: string; readonly host: string },
): Record<string, string> {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '');
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const lines = ['PUT', path, '', `host:${host}`, `x-amz-content-sha256:${PAYLOAD}`, `x-amz-date:${time}`, ''];
  const canonical = [...lines, SIGNED, PAYLOAD].join('\n');
  const hashed = createHash('sha256').update(canonical).digest('hex');
  const key = scope.split('/').reduce<string | Buffer>((last, part) => hmac(last, part).digest(), `AWS4${secretKey}`);
  const signed = hmac(key, ['AWS4-HMAC-SHA256', time, scope, hashed].join('\n')).digest('hex');
  return {
    'x-amz-content-sha256': PAYLOAD,
    'x-amz-date': time,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${SIGNED}, Signature=${signed}`,
  };
}

function hmac(key: string | Buffer, data: string): ReturnType<typeof createHmac> {
  return createHmac('sha256', key).update(data);
}

/** RFC 3986, as the signature has it. */
function encoded(segment: string): string {
  return encodeURIComponent(segment).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
