// Whom to trust: Node's certificates, and those that a plan, a flag or the environment names.
import { readFile } from 'node:fs/promises';
import { createSecureContext, getCACertificates } from 'node:tls';
import type { TlsOptions } from '../http/connection.ts';
import { readCertificates } from './certificates.ts';
import { readNamedFile } from './named-file.ts';

export interface TrustOptions {
  readonly caFile?: string;
  /** PEM text. */
  readonly caPem?: string;
  readonly insecureSkipTLSVerify?: boolean;
}

/** A file of certificates that a variable or a file of the user's own names. */
export interface CaBundle {
  readonly file: string;
  readonly namedBy: string;
}

/**
 * Node's certificates and the plan's, or where the plan has none those of `caBundle`. PLAN_INVALID for a CA file that cannot be
 * read or holds no certificate; USAGE where a variable or the user's own file names it.
 */
export async function readTlsOptions(options: TrustOptions, caBundle: CaBundle | undefined): Promise<TlsOptions> {
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

async function readBundle(caBundle: CaBundle | undefined): Promise<string[]> {
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
