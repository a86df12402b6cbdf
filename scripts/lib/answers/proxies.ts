// What proxies answer instead of the server behind them.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { makeCertificates } from '../../../test/helpers/certificates.ts';
import { freePort, startDaemon } from '../../../test/helpers/daemon.ts';
import { requiresQuietly } from '../../../test/helpers/requires.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import { ask, listen } from './ask.ts';
import type { Recording } from './main.ts';

export async function recordProxies(t: Owner): Promise<Recording[]> {
  const recordings: Recording[] = [];
  for (const [program, record] of [
    ['haproxy', recordHaproxy],
    ['squid', recordSquid],
    ['tinyproxy', recordTinyproxy],
  ] as const) {
    if (requiresQuietly(program)) recordings.push(...(await record(t)));
    else process.stdout.write(`${program} is not installed: its answers stay as they are\n`);
  }
  return recordings;
}

async function recordHaproxy(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  makeCertificates(folder);
  const pem = join(folder, 'both.pem');
  writeFileSync(
    pem,
    readFileSync(join(folder, 'server.pem'), 'utf8') + readFileSync(join(folder, 'server.key'), 'utf8'),
  );
  const mute = createServer(() => {});
  const closing = createServer((request) => request.socket.destroy());
  t.teardown(() => {
    mute.close();
    closing.close();
  });
  const ports = { down: await freePort(), slow: await freePort(), cut: await freePort(), tls: await freePort() };
  const closingPort = await listen(closing);
  const config = join(folder, 'haproxy.cfg');
  const route = (name: string, bind: string, server: string): string =>
    `frontend ${name}\n bind 127.0.0.1:${bind}\n default_backend ${name}\nbackend ${name}\n ${server}\n`;
  writeFileSync(
    config,
    `defaults
 mode http
 timeout connect 1s
 retries 0
 timeout client 5s
 timeout server 1s
${route('down', `${ports.down}`, `server one 127.0.0.1:${await freePort()}`)}
${route('slow', `${ports.slow}`, `server one 127.0.0.1:${await listen(mute)}`)}
${route('cut', `${ports.cut}`, `server one 127.0.0.1:${closingPort}`)}
${route('tls', `${ports.tls} ssl crt ${pem}`, `server one 127.0.0.1:${closingPort}`)}`,
  );
  await startDaemon(t, 'haproxy', { args: ['-f', config], ports: Object.values(ports) });
  const record = async (name: string, asked: string, port: number): Promise<Recording> => {
    return { name: `haproxy-${name}`, asked, over: 'http', bytes: await ask({ port, over: 'http' }) };
  };
  return [
    await record('503', 'a load balancer whose servers are down', ports.down),
    await record('504', 'a load balancer whose server does not answer', ports.slow),
    await record('502', 'a load balancer whose server closes the connection', ports.cut),
    await record('tls-port', 'plain http of a port that speaks TLS', ports.tls),
    {
      name: 'haproxy-no-tls',
      asked: 'TLS of a port that speaks plain http',
      over: 'hello',
      bytes: await ask({ port: ports.down, over: 'hello' }),
    },
  ];
}

async function recordSquid(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  chmodSync(folder, 0o777);
  const base = process.env.SQUID_ROOT ?? '';
  const record = async (name: string, asked: string, rules: string): Promise<Recording> => {
    const port = await freePort();
    const config = join(folder, `${name}.conf`);
    writeFileSync(
      config,
      `http_port 127.0.0.1:${port}
pid_filename none
cache_effective_user nobody
cache_effective_group nogroup
access_log none
cache_log ${join(folder, 'log')}
cache_mem 8 MB
visible_hostname proxy.example
email_err_data off
mime_table ${base}/usr/share/squid/mime.conf
error_directory ${base}/usr/share/squid-langpack/English
coredump_dir ${folder}
dns_timeout 1 second
pinger_enable off
unlinkd_program ${base}/usr/lib/squid/unlinkd
icon_directory ${base}/usr/share/squid/icons
${rules}\n`,
    );
    await startDaemon(t, 'squid', { args: ['-N', '-n', `answers${name}`, '-f', config], ports: [port] });
    const target = `http://127.0.0.1:${await freePort()}/backups/disk.qcow2?x-id=GetObject`;
    return { name: `squid-${name}`, asked, over: 'http', bytes: await ask({ port, over: 'http', target }) };
  };
  return [
    await record(
      '407',
      'an http proxy that requires a password',
      `auth_param basic program ${base}/usr/lib/squid/basic_fake_auth
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all`,
    ),
    await record('403', 'an http proxy whose rules deny the address', 'http_access deny all'),
    await record('503', 'an http proxy that cannot connect to the server', 'http_access allow all'),
  ];
}

async function recordTinyproxy(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  const port = await freePort();
  const config = join(folder, 'tinyproxy.conf');
  const base = process.env.TINYPROXY_ROOT ?? '';
  writeFileSync(
    config,
    `Port ${port}\nListen 127.0.0.1\nTimeout 5\nLogFile "${join(folder, 'log')}"\nMaxClients 5\nDefaultErrorFile "${base}/usr/share/tinyproxy/default.html"\n`,
  );
  await startDaemon(t, 'tinyproxy', { args: ['-d', '-c', config], ports: [port] });
  const target = `http://127.0.0.1:${await freePort()}/backups/disk.qcow2`;
  return [
    {
      name: 'tinyproxy-500',
      asked: 'an http proxy that cannot connect to the server',
      over: 'http',
      bytes: await ask({ port, over: 'http', target }),
    },
  ];
}
