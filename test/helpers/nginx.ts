// A real nginx on loopback: as a static source, as the proxy that so many stores are behind, or with the faults of its configuration.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, startDaemon } from './daemon.ts';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `startNginx` and `startNginxServer`. */
export const NGINX_TOOLS = ['nginx', 'setpriv'] as const;

export interface NginxBlock {
  readonly tls?: boolean;
  /** The directives of the server, without its `listen`; with no `root` it serves a folder with a web page. */
  readonly text: string;
}

/** Starts one with a server for each block; gives their ports. It ends with `t`. */
export async function startNginx(t: Owner, blocks: readonly NginxBlock[]): Promise<number[]> {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'root'));
  writeFileSync(join(folder, 'root', 'index.html'), '<html><body>Welcome to the storage console</body></html>\n');
  const ports: number[] = [];
  const servers: string[] = [];
  for (const { tls = false, text } of blocks) {
    const port = await freePort();
    ports.push(port);
    servers.push(`  server {\n    listen 127.0.0.1:${port}${tls ? ' ssl' : ''};\n    ${text}\n  }`);
  }
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = join(folder, 'nginx.conf');
  writeFileSync(
    config,
    `daemon off; master_process off; pid ${join(folder, 'pid')};
events { worker_connections 512; }
http {
  access_log off;
  root ${join(folder, 'root')};
  limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
  types { text/html html; }
${temporary.map((name) => `  ${name}_temp_path ${join(folder, name)};`).join('\n')}
${servers.join('\n')}
}
`,
  );
  await startDaemon(t, 'nginx', { args: ['-e', join(folder, 'error.log'), '-c', config], ports });
  return ports;
}

/** Starts one whose only server speaks plain http and has these directives; gives its URL. It ends with `t`. */
export async function startNginxServer(t: Owner, directives: string): Promise<string> {
  const [port = 0] = await startNginx(t, [{ text: directives }]);
  return `http://127.0.0.1:${port}`;
}

/** The lines of a block that has this certificate. */
export function certified(folder: string): string {
  return `ssl_certificate ${join(folder, 'server.pem')}; ssl_certificate_key ${join(folder, 'server.key')};\n`;
}
