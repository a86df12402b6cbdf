// The files that a plan names for S3: the CA's certificates and the SSE-C key.
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates } from 'node:tls';
import { DatamoverError, systemCode } from '../../errors.ts';
import type { TlsOptions } from '../http/connection.ts';
import type { S3Options } from './options.ts';

/** Bytes of an SSE-C key: AES-256. */
const SSE_KEY_BYTES = 32;

/** The system's certificates and the plan's. PLAN_INVALID for a CA file that cannot be read or holds no certificate. */
export async function readTlsOptions(options: S3Options): Promise<TlsOptions> {
  const extra: string[] = [];
  if (options.caFile !== undefined) {
    const text = (await readNamedFile(options.caFile, 'CA file')).toString('utf8');
    checkCertificates(text, `the CA file ${options.caFile}`);
    extra.push(text);
  }
  if (options.caPem !== undefined && options.caPem.trim() !== '') {
    checkCertificates(options.caPem, 'the CA certificate given as text');
    extra.push(options.caPem);
  }
  // `ca` replaces Node's own list, so that this has to be added again.
  const ca = extra.length === 0 ? {} : { ca: [...getCACertificates('default'), ...extra] };
  return { secureContext: createSecureContext(ca), rejectUnauthorized: options.insecureSkipTLSVerify !== true };
}

/** The SSE-C key, or undefined when none is named. PLAN_INVALID when it cannot be read or is not 32 bytes long. */
export async function readSseKey({ sseCustomerKeyFile: file }: S3Options): Promise<Uint8Array | undefined> {
  if (file === undefined) return undefined;
  const key = await readNamedFile(file, 'SSE-C key file');
  if (key.length === SSE_KEY_BYTES) return key;
  throw new DatamoverError('PLAN_INVALID', `the SSE-C key file ${file} has ${key.length} bytes, not ${SSE_KEY_BYTES}`, {
    hint: 'it must hold the raw key: no base64 or hex, no line break at its end',
  });
}

/** A file that the plan names; PLAN_INVALID when it cannot be read. */
export async function readNamedFile(file: string, what: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    const why = code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`;
    throw new DatamoverError('PLAN_INVALID', `the ${what} ${file} ${why}`, {
      hint: 'check the path in the plan, that the file is mounted here, and that this user may read it',
      cause: error,
    });
  }
}

function checkCertificates(pem: string, what: string): void {
  const blocks = pem.match(/-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END [^-]*-----/g) ?? [];
  try {
    if (blocks.length > 0) {
      for (const block of blocks) new X509Certificate(block);
      return;
    }
  } catch (error) {
    throw noCertificate(`${what} holds a damaged certificate`, error);
  }
  throw noCertificate(`${what} holds no PEM certificate`);
}

function noCertificate(message: string, cause?: unknown): DatamoverError {
  return new DatamoverError('PLAN_INVALID', message, {
    hint: 'it must hold one or more blocks of -----BEGIN CERTIFICATE-----',
    ...(cause === undefined ? {} : { cause }),
  });
}
