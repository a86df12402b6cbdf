// The translator under the names of Google's own hosts, over TLS: a proxy leads to it whatever host is asked for.
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { makeCertificates } from './certificates.ts';
import type { Gcs } from './gcs.ts';
import { startPeer } from './peer.ts';
import { type Owner, tempFolder } from './tmp.ts';

export interface GoogleHosts {
  /** PEM text of the CA that signed the hosts' certificate. */
  readonly ca: string;
  /** Leads a child process to the hosts. */
  readonly env: { readonly HTTPS_PROXY: string };
  /** `host:port` of each connection that was asked for. */
  readonly asked: string[];
}

/** Needs `openssl`. */
export async function startGoogleHosts(t: Owner, { origin }: Gcs): Promise<GoogleHosts> {
  const { ca, key, cert } = makeCertificates(tempFolder(t), 'DNS:storage.googleapis.com,DNS:oauth2.googleapis.com');
  const peer = await startPeer({ upstream: origin, tls: { key, cert } }, t);
  const { port } = new URL(peer.endpoint);
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, client, head) => {
    asked.push(request.url ?? '');
    const server = connect(Number(port), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.write(head);
      server.pipe(client).pipe(server);
    });
    for (const end of [server, client]) {
      end.on('error', () => {
        client.destroy();
        server.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { ca, asked, env: { HTTPS_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` } };
}
