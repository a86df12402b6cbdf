// The file that a plan names for S3 alone: the SSE-C key.
import { DatamoverError } from '../../errors.ts';
import type { S3Options } from '../../s3-options.ts';
import { readNamedFile } from '../remote/named-file.ts';

/** Bytes of an SSE-C key: AES-256. */
const SSE_KEY_BYTES = 32;

/**
 * The SSE-C key, or undefined when none is named. As the operator reads it: 32 bytes, or 32 bytes and line breaks at the end.
 * PLAN_INVALID when it cannot be read or is neither.
 */
export async function readSseKey({ sseCustomerKeyFile: file }: S3Options): Promise<Uint8Array | undefined> {
  if (file === undefined) return undefined;
  const key = await readNamedFile(file, 'SSE-C key file');
  if (key.length === SSE_KEY_BYTES) return key;
  let end = key.length;
  while (end > SSE_KEY_BYTES && (key[end - 1] === 0x0a || key[end - 1] === 0x0d)) end -= 1;
  if (end === SSE_KEY_BYTES) return key.subarray(0, end);
  throw new DatamoverError(
    'PLAN_INVALID',
    `${file}: invalid SSE-C key: expected ${SSE_KEY_BYTES} bytes, got ${key.length}`,
    {
      hint: sseKeyHint(key),
    },
  );
}

function sseKeyHint(key: Buffer): string {
  const text = key.toString('latin1').trim();
  if (/^[A-Za-z0-9+/]{43}=$/.test(text))
    return 'it is base64: decode it with `base64 -d FILE > KEY` and name that file';
  if (/^[0-9a-fA-F]{64}$/.test(text))
    return 'it is hexadecimal: decode it with `xxd -r -p FILE > KEY` and name that file';
  return 'the file must hold the raw key of 32 bytes; a line break after it is ignored';
}
