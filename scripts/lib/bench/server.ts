// A static web server, nginx, on loopback: one port as fast as it goes, the same over TLS 1.3, one at 60 MB/s a connection, one
// that waits 20 ms before each answer. It stands for the object store: ranges, If-Match and ETags work as they do there.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Certificate, makeCertificate } from './certificate.ts';

export type PortName = 'fast' | 'tls' | 'slow' | 'latency';

export interface Server {
  /** Without a path. A missing `latency` is a machine whose nginx lacks the echo module. */
  readonly endpoints: Readonly<Record<PortName, string | undefined>>;
  /** The authority of the `tls` port, a PEM file. */
  readonly caFile: string;
  /** Bytes of bodies that it has sent since it was last asked. */
  takeSent(): Promise<number>;
}

/** A connection of the slow port, bytes a second. */
const SLOW_RATE = 60_000_000;

/** Runs `work` with a server of `root` and what is mounted under it. */
export async function withServer<T>(
  { root, folder, signal }: { readonly root: string; readonly folder: string; readonly signal: AbortSignal },
  work: (server: Server) => Promise<T>,
): Promise<T> {
  await mkdir(folder, { recursive: true });
  const [fast, tls, slow, latency] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const certificate = await makeCertificate(folder, signal);
  const echo = existsSync(ECHO_MODULE);
  const config = join(folder, 'nginx.conf');
  const log = join(folder, 'sent.log');
  await writeFile(
    config,
    configure({ root, folder, log, fast, tls, certificate, slow, latency: echo ? latency : undefined }),
  );
  const nginx = ['nginx', '-e', join(folder, 'error.log'), '-c', config];
  const args = ['--pdeathsig', 'TERM', '--', 'python3', '-c', PACED, String(slow), String(SLOW_RATE), ...nginx];
  const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  try {
    await untilAnswered(`http://127.0.0.1:${fast}/`, signal);
    const url = (port: number, protocol = 'http'): string => `${protocol}://127.0.0.1:${port}`;
    return await work({
      endpoints: {
        fast: url(fast),
        tls: url(tls, 'https'),
        slow: url(slow),
        latency: echo ? url(latency) : undefined,
      },
      caFile: certificate.certificate,
      takeSent: async () => {
        const lines = (await readFile(log, 'utf8')).split('\n');
        await truncate(log, 0);
        return lines.reduce((sum, line) => sum + Number(line), 0);
      },
    });
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

/**
 * Opens the slow port with SO_MAX_PACING_RATE, which its connections inherit, and becomes nginx, which takes it over as in
 * an upgrade of its binary. Its own `limit_rate` lets the first second's worth of every answer pass at once: a source that
 * is read in parts would never feel it.
 */
const PACED = `
import os, socket, sys
paced = socket.socket()
paced.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
paced.setsockopt(socket.SOL_SOCKET, 47, int(sys.argv[2]))
paced.bind(('127.0.0.1', int(sys.argv[1])))
paced.listen(511)
# nginx sets no socket so that it takes over, and a worker that comes second to a connection would wait in accept.
paced.setblocking(False)
os.set_inheritable(paced.fileno(), True)
os.environ['NGINX'] = f'{paced.fileno()};'
os.execvp(sys.argv[3], sys.argv[3:])
`;

const ECHO_MODULE = '/usr/lib/nginx/modules/ngx_http_echo_module.so';

interface Ports {
  readonly root: string;
  readonly folder: string;
  readonly log: string;
  readonly fast: number;
  readonly tls: number;
  readonly certificate: Certificate;
  readonly slow: number;
  readonly latency: number | undefined;
}

function configure({ root, folder, log, fast, tls, certificate, slow, latency }: Ports): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const waiting = `server {
    listen 127.0.0.1:${latency};
    location / { echo_sleep 0.02; echo_exec /file$uri; }
    location /file/ { internal; alias ${root}/; }
  }`;
  return `${latency === undefined ? '' : `load_module ${ECHO_MODULE};`}
daemon off;
worker_processes 2;
user root;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 512; }
http {
  log_format sent '$body_bytes_sent';
  access_log ${log} sent;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
${paths.map((name) => `  ${name}_temp_path ${join(folder, name)};`).join('\n')}
  server { listen 127.0.0.1:${fast}; root ${root}; autoindex on; }
  server {
    listen 127.0.0.1:${tls} ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate ${certificate.certificate};
    ssl_certificate_key ${certificate.key};
    root ${root};
    autoindex on;
  }
  server { listen 127.0.0.1:${slow}; root ${root}; autoindex on; }
  ${latency === undefined ? '' : waiting}
}
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function untilAnswered(url: string, signal: AbortSignal): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    signal.throwIfAborted();
    try {
      await (await fetch(url)).arrayBuffer();
      return;
    } catch {
      // Not listening yet.
      await delay(25);
    }
  }
  throw new Error('nginx does not answer');
}
