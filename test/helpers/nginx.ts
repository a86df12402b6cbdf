// A real nginx on loopback: as a static source, or as the proxy that so many stores are behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

/** What `requires` must find before `startNginx`. */
export const NGINX_TOOLS = ['nginx', 'setpriv', 'root'] as const;

/** Starts one whose only server has these directives; gives its URL. It ends with `t`. */
export async function startNginx(t: Test, directives: string): Promise<string> {
  const folder = tempFolder(t);
  const port = await freePort();
  const config = join(folder, 'nginx.conf');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  writeFileSync(
    config,
    `daemon off;
user root;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 512; }
http {
  access_log off;
${paths.map((name) => `  ${name}_temp_path ${join(folder, name)};`).join('\n')}
  server {
    listen 127.0.0.1:${port};
    ${directives}
  }
}
`,
  );
  const nginx = ['nginx', '-e', join(folder, 'error.log'), '-c', config];
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...nginx], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  t.teardown(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 400; tries += 1) {
    try {
      await (await fetch(url)).arrayBuffer();
      return url;
    } catch {
      // Not listening yet.
      await delay(25);
    }
  }
  throw new Error('nginx does not answer');
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
