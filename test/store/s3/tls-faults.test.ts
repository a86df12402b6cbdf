// The wrong scheme, port, certificate or TLS version, with the servers that people really run: nginx, Node, Python, Go.
import { execFileSync } from 'node:child_process';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { S3Options } from '../../../src/s3-options.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, readAll, rejectsWith } from '../../contract/store.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { freePort, startDaemon } from '../../helpers/daemon.ts';
import { certified, startNginx } from '../../helpers/nginx.ts';
import { startProxy } from '../../helpers/proxy.ts';
import { PYTHON_SERVER } from '../../helpers/python-server.ts';
import { requires } from '../../helpers/requires.ts';
import { impatient } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;
const ENV = { AWS_ACCESS_KEY_ID: 'EXAMPLE', AWS_SECRET_ACCESS_KEY: 'EXAMPLE' };

const ASK: Readonly<Record<string, (store: ObjectStore) => Promise<unknown>>> = {
  head: (store) => store.head('disk.qcow2', { signal }),
  get: (store) => store.get('index.json', { maxBytes: 1000, signal }),
  read: (store) => readAll(store, 'disk.qcow2', { offset: 0, length: 1, etag: '"x"', size: 1, signal }),
  list: (store) => listed(store, ''),
};

interface Expected {
  readonly message: RegExp;
  readonly hint: RegExp;
  readonly options?: Partial<S3Options>;
  readonly env?: Record<string, string>;
  readonly retried?: boolean;
}

/** What every kind of request fails with; tried once, unless it may pass. */
async function failsWith(t: Test, name: string, endpoint: string, expected: Expected): Promise<void> {
  await t.test(name, async (t) => {
    const one = async ([what, ask]: [string, (store: ObjectStore) => Promise<unknown>]): Promise<void> => {
      const { policy, onRetry } = impatient();
      let retries = 0;
      const options = { bucket: 'backups', endpoint, ...expected.options };
      const store = await openS3Store(options, {
        concurrency: 1,
        env: { ...ENV, ...expected.env },
        policy,
        onRetry: () => {
          retries += 1;
          onRetry();
        },
      });
      const error = await rejectsWith(t, 'SOURCE_UNREACHABLE', () => ask(store), what);
      await store.close();
      t.match(error.message, expected.message, what);
      t.match(error.hint, expected.hint, `${what}: the hint`);
      t.equal(retries >= 5, expected.retried ?? false, `${what}: tried ${retries + 1} times`);
    };
    await Promise.all(Object.entries(ASK).map(one));
  });
}

async function listen(t: Test, server: Server | TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

const http = (port: number): string => `http://127.0.0.1:${port}`;
const https = (port: number): string => `https://127.0.0.1:${port}`;
const toHttp = (port: number): RegExp => new RegExp(`set --endpoint \\(source\\.s3\\.endpoint\\) to ${http(port)}$`);
const toHttps = (port: number): RegExp => new RegExp(`set --endpoint \\(source\\.s3\\.endpoint\\) to ${https(port)}$`);

test('the wrong scheme', async (t) => {
  if (!requires(t, 'openssl', 'nginx', 'python3', 'rclone')) return;
  const folder = tempFolder(t);
  const { key, cert } = makeCertificates(folder);
  const [nginxPlain = 0, nginxTls = 0] = await startNginx(t, [{ text: '' }, { tls: true, text: certified(folder) }]);
  const nodePlain = await listen(
    t,
    createHttpServer((_, response) => response.end()),
  );
  const nodeTls = await listen(
    t,
    createHttpsServer({ key, cert }, (_, response) => response.end()),
  );
  const [pythonPlain, pythonTls] = [await freePort(), await freePort()];
  const python = (port: number, ...pem: string[]) =>
    startDaemon(t, 'python3', { args: ['-c', PYTHON_SERVER, `${port}`, ...pem], ports: [port], cwd: folder });
  await python(pythonPlain);
  await python(pythonTls, 'server.pem', 'server.key');
  const [goPlain, goTls] = [await freePort(), await freePort()];
  const go = (port: number, ...pem: string[]) => {
    const args = ['serve', 'http', folder, '--config', '/dev/null', '--addr', `127.0.0.1:${port}`, ...pem];
    return startDaemon(t, 'rclone', { args, ports: [port] });
  };
  await go(goPlain);
  await go(goTls, '--cert', join(folder, 'server.pem'), '--key', join(folder, 'server.key'));
  const plain = { nginx: nginxPlain, node: nodePlain, python: pythonPlain, go: goPlain };
  const secure = { nginx: nginxTls, node: nodeTls, python: pythonTls, go: goTls };
  for (const [name, port] of Object.entries(plain)) {
    const message = /the server speaks plain http on this port, not TLS/;
    await failsWith(t, `https to plain ${name}`, https(port), { message, hint: toHttp(port) });
  }
  for (const [name, port] of Object.entries(secure)) {
    const message = /the server speaks TLS on this port, not plain http/;
    await failsWith(t, `http to TLS of ${name}`, http(port), { message, hint: toHttps(port) });
  }
});

test('a port that speaks something else, or closes', async (t) => {
  const greets = await listen(
    t,
    createTcpServer((socket) => void socket.on('error', () => {}).end('220 mail.example ESMTP\r\n')),
  );
  await failsWith(t, 'https', https(greets), { message: /neither TLS nor HTTP/, hint: /host and port in --endpoint/ });
  await failsWith(t, 'http', http(greets), {
    message: /something other than HTTP/,
    hint: /host and port in --endpoint/,
    retried: true,
  });
  const closes = await listen(
    t,
    createTcpServer((socket) => void socket.on('error', () => {}).end()),
  );
  for (const url of [http(closes), https(closes)]) {
    const message = /closed the connection|ECONNRESET|ECONNREFUSED/;
    await failsWith(t, `${url.split(':')[0]}, closed`, url, { message, hint: /reachable/, retried: true });
  }
  const nobody = await freePort();
  await failsWith(t, 'refused', http(nobody), {
    message: /connection refused \(ECONNREFUSED 127\.0\.0\.1:\d+\)/,
    hint: /check host and port in --endpoint \(source\.s3\.endpoint\)/,
    retried: true,
  });
  await failsWith(t, 'no such host', 'http://storage.invalid', {
    message: /(ENOTFOUND|EAI_AGAIN)/,
    hint: /--endpoint|name servers/,
    retried: true,
  });
  await failsWith(t, 'a bucket in the name of the host', 'http://storage.invalid', {
    message: /(ENOTFOUND|EAI_AGAIN) backups\.storage\.invalid/,
    hint: /add --path-style \(source\.s3\.forcePathStyle: true\)/,
    options: { forcePathStyle: false },
    retried: true,
  });
});

test('client certificates, TLS versions and host names', async (t) => {
  if (!requires(t, 'openssl', 'nginx')) return;
  const folder = tempFolder(t);
  const { caFile, ca, key, cert } = makeCertificates(folder);
  const tls = certified(folder);
  const verify = `ssl_client_certificate ${caFile}; ssl_verify_client on;`;
  const [nginx = 0, old = 0, nameless = 0, modern = 0] = await startNginx(t, [
    { tls: true, text: `${tls} ${verify}` },
    { tls: true, text: `${tls} ssl_protocols TLSv1 TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;` },
    { tls: true, text: 'ssl_reject_handshake on;' },
    { tls: true, text: `${tls} ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;` },
  ]);
  const options = { caFile };
  const client = {
    message: /requires a client certificate/,
    hint: /set --endpoint .*kubevirt-datamover sends none/,
    options,
  };
  await failsWith(t, 'nginx wants a client certificate', https(nginx), client);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const wanting = {
      key,
      cert,
      ca,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: version,
      maxVersion: version,
    };
    const server = createHttpsServer(wanting, (_, response) => response.end());
    server.on('tlsClientError', () => {});
    const port = await listen(t, server);
    if (version === 'TLSv1.3') await failsWith(t, `OpenSSL wants one, ${version}`, https(port), client);
    else
      await failsWith(t, `OpenSSL wants one, ${version}`, https(port), {
        ...client,
        message: /client certificate|refused the TLS handshake/,
        hint: /client certificate/,
      });
  }
  await failsWith(t, 'only old TLS', https(old), {
    message: /no TLS version that is still safe/,
    hint: /enable TLS 1\.2 or 1\.3/,
    options,
  });
  await failsWith(t, 'a name that is not served', https(nameless), {
    message: /does not know the host name/,
    hint: /host name under which the server is known/,
    options,
  });
  await failsWith(t, 'TLS 1.2 is taken', https(modern), {
    message: /404 without an S3 error|not found|does not exist|answered 404/,
    hint: /--endpoint/,
    options,
    retried: true,
  });
});

test('certificates that are not trusted', async (t) => {
  if (!requires(t, 'openssl', 'nginx')) return;
  const [folder, other, selfSigned, expired] = [tempFolder(t), tempFolder(t), tempFolder(t), tempFolder(t)];
  const { caFile } = makeCertificates(folder);
  makeCertificates(other, 'DNS:elsewhere.example');
  makeCertificates(expired);
  const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=storage',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-keyout',
    join(selfSigned, 'server.key'),
    '-out',
    join(selfSigned, 'server.pem'),
  );
  openssl(
    'x509',
    '-req',
    '-days',
    '-1',
    '-in',
    join(expired, 'server.csr'),
    '-CA',
    join(expired, 'ca.pem'),
    '-CAkey',
    join(expired, 'ca.key'),
    '-CAcreateserial',
    '-extfile',
    join(expired, 'ext'),
    '-out',
    join(expired, 'server.pem'),
  );
  const blocks = [folder, other, selfSigned, expired].map((place) => ({ tls: true, text: certified(place) }));
  const [unknown = 0, named = 0, own = 0, old = 0] = await startNginx(t, blocks);
  await failsWith(t, 'an unknown CA', https(unknown), {
    message: /not trusted \(UNABLE_TO_VERIFY/,
    hint: /^add --ca-file \(source\.s3\.caFile\)/,
  });
  await failsWith(t, 'another host', https(named), {
    message: /ERR_TLS_CERT_ALTNAME_INVALID/,
    hint: /^set --endpoint .* made out to/,
    options: { caFile: join(other, 'ca.pem') },
  });
  await failsWith(t, 'self-signed', https(own), {
    message: /DEPTH_ZERO_SELF_SIGNED_CERT/,
    hint: /--ca-file .*server's own certificate/,
    options: { caFile },
  });
  await failsWith(t, 'expired', https(old), {
    message: /CERT_HAS_EXPIRED/,
    hint: /renew .*clock/,
    options: { caFile: join(expired, 'ca.pem') },
  });
});

test('through a proxy no port is asked what it speaks', async (t) => {
  const proxy = await startProxy(t);
  const port = await listen(
    t,
    createTcpServer((socket) => void socket.on('error', () => {}).end()),
  );
  await failsWith(t, 'http', http(port), {
    message: /50\d|ECONNRESET|closed/,
    hint: /./,
    env: { http_proxy: proxy.url },
    retried: true,
  });
  t.ok(
    proxy.asked.every((line) => line.includes('/backups')),
    'only requests of S3',
  );
});
