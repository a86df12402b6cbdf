// A CA of the test's own and a server certificate for 127.0.0.1 that it signed.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificates {
  readonly caFile: string;
  readonly ca: string;
  readonly key: string;
  readonly cert: string;
}

/** Needs `openssl`. `name` is what the certificate is made out to, as in `IP:127.0.0.1`; a weak one has a key that nobody takes. */
export function makeCertificates(folder: string, name = 'IP:127.0.0.1', { weak = false } = {}): Certificates {
  const file = (base: string): string => join(folder, base);
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(...newKey, '-x509', '-days', '2', '-subj', '/CN=test CA', '-keyout', file('ca.key'), '-out', file('ca.pem'));
  const serverKey = weak ? ['req', '-newkey', 'rsa:1024', '-nodes'] : newKey;
  openssl(...serverKey, '-subj', '/CN=test server', '-keyout', file('server.key'), '-out', file('server.csr'));
  writeFileSync(file('ext'), `subjectAltName=${name}\n`);
  const signing = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file('ext')];
  openssl('x509', '-req', '-days', '2', '-in', file('server.csr'), ...signing, '-out', file('server.pem'));
  const read = (base: string): string => readFileSync(file(base), 'utf8');
  return { caFile: file('ca.pem'), ca: read('ca.pem'), key: read('server.key'), cert: read('server.pem') };
}
