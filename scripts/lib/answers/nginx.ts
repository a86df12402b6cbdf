// What nginx answers: the front of many an object store.
import { createServer } from 'node:net';
import { join } from 'node:path';
import { makeCertificates } from '../../../test/helpers/certificates.ts';
import { freePort } from '../../../test/helpers/daemon.ts';
import { certified, startNginx } from '../../../test/helpers/nginx.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import { ask, listen, type Question } from './ask.ts';
import type { Recording } from './main.ts';

export async function recordNginx(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  makeCertificates(folder);
  const tls = certified(folder);
  const silent = createServer(() => {});
  t.teardown(() => silent.close());
  const [closed, mute] = [await freePort(), await listen(silent)];
  const pages = [403, 404, 405, 451, 500, 503].map((status) => `location /${status} { return ${status}; }`);
  const [plain = 0, secure = 0, client = 0, old = 0, nameless = 0] = await startNginx(t, [
    {
      text: `${pages.join('\n')}
        large_client_header_buffers 1 1k;
        location /bad-gateway { proxy_pass http://127.0.0.1:${closed}; }
        location /gateway-timeout { proxy_pass http://127.0.0.1:${mute}; proxy_read_timeout 1s; }
        location /to-https { return 301 https://$host$request_uri; }
        location /to-login { return 302 https://login.example/oauth2/start; }
        location /rate { limit_req zone=one; limit_req_status 429; try_files /index.html =404; }
        location /login { auth_basic "storage"; auth_basic_user_file ${join(folder, 'none')}; }
        location /console { try_files /index.html =404; }`,
    },
    { tls: true, text: tls },
    { tls: true, text: `${tls} ssl_client_certificate ${join(folder, 'ca.pem')}; ssl_verify_client on;` },
    { tls: true, text: `${tls} ssl_protocols TLSv1 TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;` },
    { tls: true, text: 'ssl_reject_handshake on;' },
  ]);
  const recordings: Recording[] = [];
  const record = async (name: string, asked: string, question: Question): Promise<void> => {
    recordings.push({ name: `nginx-${name}`, asked, over: question.over, bytes: await ask(question) });
  };
  await record('tls-port', 'plain http of a port that speaks TLS', { port: secure, over: 'http' });
  await record('no-tls', 'TLS of a port that speaks plain http', { port: plain, over: 'hello' });
  await record('client-certificate', 'https without the client certificate that it requires', {
    port: client,
    over: 'https',
  });
  await record('old-tls', 'TLS 1.2 or newer of a server that only speaks TLS 1.0 and 1.1', {
    port: old,
    over: 'hello',
  });
  await record('unknown-name', 'TLS for a host name that it does not serve', { port: nameless, over: 'hello' });
  const status = async (
    name: string,
    target: string,
    asked: string,
    headers: readonly string[] = [],
  ): Promise<void> => {
    await record(name, asked, { port: plain, over: 'http', target, headers });
  };
  for (const code of [403, 404, 405, 451, 500, 503])
    await status(`${code}`, `/${code}`, `a location that returns ${code}`);
  await status('502', '/bad-gateway', 'a gateway whose backend is down');
  await status('504', '/gateway-timeout', 'a gateway whose backend does not answer');
  await status('to-https', '/to-https', 'plain http of a server that redirects to https');
  await status('to-login', '/to-login', 'a service behind a login page');
  await status('login', '/login', 'a location that requires a password');
  await record('page', 'a web page instead of an object', {
    port: plain,
    over: 'http',
    target: '/console',
    range: false,
  });
  await status('headers', '/403', 'a request with headers larger than it takes', [`x-large: ${'x'.repeat(2000)}`]);
  await ask({ port: plain, over: 'http', target: '/rate' });
  await status('429', '/rate', 'more requests than its rate limit allows');
  return recordings;
}
