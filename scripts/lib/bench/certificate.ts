// The certificate of the bench's https port: its own authority, for 127.0.0.1.
import { join } from 'node:path';
import { runTool } from '../run-tool.ts';

export interface Certificate {
  /** PEM files. */
  readonly key: string;
  readonly certificate: string;
}

export async function makeCertificate(folder: string, signal: AbortSignal): Promise<Certificate> {
  const [key, certificate] = [join(folder, 'server.key'), join(folder, 'server.pem')];
  const subject = ['-subj', '/CN=kdm-bench', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await runTool('openssl', ['req', '-x509', ...curve, ...subject, '-keyout', key, '-out', certificate], { signal });
  return { key, certificate };
}
