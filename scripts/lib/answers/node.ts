// What Node's own servers answer.
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { makeCertificates } from '../../../test/helpers/certificates.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import { ask, listen } from './ask.ts';
import type { Recording } from './main.ts';

export async function recordNode(t: Owner): Promise<Recording[]> {
  const { key, cert } = makeCertificates(tempFolder(t));
  const page = createServer((_request, response) => response.end('<!doctype html><title>App</title>'));
  const secure = createTlsServer({ key, cert }, (_request, response) => response.end());
  t.teardown(() => {
    page.close();
    secure.close();
  });
  const [plainPort, tlsPort] = [await listen(page), await listen(secure)];
  return [
    {
      name: 'node-tls-port',
      asked: 'plain http of a port that speaks TLS',
      over: 'http',
      bytes: await ask({ port: tlsPort, over: 'http' }),
    },
    {
      name: 'node-no-tls',
      asked: 'TLS of a port that speaks plain http',
      over: 'hello',
      bytes: await ask({ port: plainPort, over: 'hello' }),
    },
    {
      name: 'node-page',
      asked: 'an object of a single-page application, which answers 200 to every path',
      over: 'http',
      bytes: await ask({ port: plainPort, over: 'http' }),
    },
  ];
}
