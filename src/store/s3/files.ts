// The files that a plan names for S3: the CA's certificates and the SSE-C key.
import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates } from 'node:tls';
import { DatamoverError } from '../../errors.ts';
import type { S3Options } from '../../s3-options.ts';
import { readNamedFile } from '../aws/named-file.ts';
import type { Settings } from '../aws/settings.ts';
import type { TlsOptions } from '../http/connection.ts';
import { readCertificates } from './certificates.ts';

/** Bytes of an SSE-C key: AES-256. */
const SSE_KEY_BYTES = 32;

/**
 * Node's certificates and the plan's, or where the plan has none those of `caBundle`. PLAN_INVALID for a CA file that cannot be
 * read or holds no certificate; USAGE where a variable or the user's own file names it.
 */
export async function readTlsOptions(options: S3Options, caBundle: Settings['caBundle']): Promise<TlsOptions> {
  const extra: string[] = [];
  if (options.caFile !== undefined) {
    extra.push(...readCertificates(await readNamedFile(options.caFile, 'CA file'), options.caFile));
  }
  if (options.caPem !== undefined && options.caPem.trim() !== '') {
    extra.push(...readCertificates(Buffer.from(options.caPem), 'the CA certificate given as text'));
  }
  if (extra.length === 0 && options.insecureSkipTLSVerify !== true) extra.push(...(await readBundle(caBundle)));
  // `ca` replaces Node's own list, so that this has to be added again.
  const ca = extra.length === 0 ? {} : { ca: [...getCACertificates('default'), ...extra] };
  return { secureContext: createSecureContext(ca), rejectUnauthorized: options.insecureSkipTLSVerify !== true };
}

async function readBundle(caBundle: Settings['caBundle']): Promise<string[]> {
  if (caBundle === undefined) return [];
  const { file, namedBy } = caBundle;
  if (namedBy === 'SSL_CERT_FILE') {
    // OpenSSL and Go pass over one that they cannot use, and many a system sets it for all programs.
    return await readFile(file)
      .then((bytes) => readCertificates(bytes, file))
      .catch(() => []);
  }
  const bytes = await readNamedFile(file, 'CA bundle', { code: 'USAGE', namedBy });
  return readCertificates(bytes, `${file} (${namedBy})`, 'USAGE');
}

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
