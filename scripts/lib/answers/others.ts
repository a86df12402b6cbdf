// What other web servers answer, and what ports say that are no web servers.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificates } from '../../../test/helpers/certificates.ts';
import { freePort, startDaemon } from '../../../test/helpers/daemon.ts';
import { PYTHON_SERVER } from '../../../test/helpers/python-server.ts';
import { requiresQuietly } from '../../../test/helpers/requires.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import { ask, type Over } from './ask.ts';
import type { Recording } from './main.ts';

const NOBODY = 65534;
const AS_NOBODY = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', '--'];

const NO_TLS = 'TLS of a port that speaks plain http';
const TLS_PORT = 'plain http of a port that speaks TLS';

export async function recordOthers(t: Owner): Promise<Recording[]> {
  const recordings: Recording[] = [];
  for (const [program, record] of [
    ['python3', recordPython],
    ['rclone', recordGo],
    ['apache2', recordApache],
    ['lighttpd', recordLighttpd],
    ['sshd', recordSsh],
  ] as const) {
    if (requiresQuietly(program)) recordings.push(...(await record(t)));
    else process.stdout.write(`${program} is not installed: its answers stay as they are\n`);
  }
  return recordings;
}

async function both(name: string, { plain, secure }: { plain: number; secure: number }): Promise<Recording[]> {
  const record = async (what: string, asked: string, port: number, over: Over): Promise<Recording> => {
    return { name: `${name}-${what}`, asked, over, bytes: await ask({ port, over }) };
  };
  return [
    await record('tls-port', TLS_PORT, secure, 'http'),
    await record('no-tls', NO_TLS, plain, 'hello'),
    await record('404', 'an object that is not found', plain, 'http'),
  ];
}

async function recordPython(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  makeCertificates(folder);
  const [plain, secure] = [await freePort(), await freePort()];
  const server = (port: number, ...pem: string[]) =>
    startDaemon(t, '/usr/bin/python3', {
      args: ['-c', PYTHON_SERVER, String(port), ...pem],
      ports: [port],
      cwd: folder,
    });
  await server(plain);
  await server(secure, 'server.pem', 'server.key');
  const refused = await ask({ port: plain, over: 'http', method: 'REPORT' });
  return [
    ...(await both('python', { plain, secure })),
    { name: 'python-501', asked: 'a method that it does not have', over: 'http', bytes: refused },
    {
      name: 'python-page',
      asked: 'a listing of a bucket, of a web server that lists directories',
      over: 'http',
      bytes: await ask({ port: plain, over: 'http', target: '/?list-type=2' }),
    },
  ];
}

async function recordGo(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  makeCertificates(folder);
  const served = join(folder, 'served');
  mkdirSync(served);
  const start = async (...args: string[]): Promise<number> => {
    const port = await freePort();
    const all = ['serve', 'http', served, '--config', '/dev/null', '--addr', `127.0.0.1:${port}`, ...args];
    await startDaemon(t, 'rclone', { args: all, ports: [port] });
    return port;
  };
  const plain = await start();
  const secure = await start('--cert', join(folder, 'server.pem'), '--key', join(folder, 'server.key'));
  const login = await start('--user', 'user', '--pass', 'password');
  return [
    ...(await both('go', { plain, secure })),
    {
      name: 'go-login',
      asked: 'a server that requires a password',
      over: 'http',
      bytes: await ask({ port: login, over: 'http' }),
    },
  ];
}

async function recordApache(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  makeCertificates(folder);
  const [plain, secure] = [await freePort(), await freePort()];
  const modules = process.env.APACHE_MODULES ?? '/usr/lib/apache2/modules';
  const config = join(folder, 'apache.conf');
  mkdirSync(join(folder, 'root'));
  writeFileSync(
    config,
    `ServerName storage.example
ServerRoot ${folder}
PidFile pid
Mutex file:${folder}
ErrorLog error.log
User www-data
Group www-data
DocumentRoot ${join(folder, 'root')}
Listen 127.0.0.1:${plain}
Listen 127.0.0.1:${secure}
LoadModule mpm_event_module ${modules}/mod_mpm_event.so
LoadModule authz_core_module ${modules}/mod_authz_core.so
LoadModule ssl_module ${modules}/mod_ssl.so
<VirtualHost 127.0.0.1:${secure}>
SSLEngine on
SSLCertificateFile server.pem
SSLCertificateKeyFile server.key
</VirtualHost>\n`,
  );
  await startDaemon(t, 'apache2', { args: ['-X', '-f', config], ports: [plain, secure] });
  return await both('apache', { plain, secure });
}

async function recordLighttpd(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  const plain = await freePort();
  const config = join(folder, 'lighttpd.conf');
  writeFileSync(config, `server.document-root = "${folder}"\nserver.port = ${plain}\nserver.bind = "127.0.0.1"\n`);
  const modules = process.env.LIGHTTPD_MODULES ?? '/usr/lib/lighttpd';
  await startDaemon(t, 'lighttpd', { args: ['-D', '-m', modules, '-f', config], ports: [plain] });
  return [{ name: 'lighttpd-no-tls', asked: NO_TLS, over: 'hello', bytes: await ask({ port: plain, over: 'hello' }) }];
}

async function recordSsh(t: Owner): Promise<Recording[]> {
  const folder = tempFolder(t);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'key')]);
  const port = await freePort();
  const options = [`HostKey=${join(folder, 'key')}`, `PidFile=none`, `ListenAddress=127.0.0.1:${port}`, 'UsePAM=no'];
  // Not as root: that needs the user which its package creates.
  chownSync(join(folder, 'key'), NOBODY, NOBODY);
  chmodSync(folder, 0o755);
  const program = [process.env.SSHD ?? '/usr/sbin/sshd', '-D', '-f', '/dev/null'];
  const args = [...AS_NOBODY, ...program, ...options.flatMap((option) => ['-o', option])];
  await startDaemon(t, 'setpriv', { args, ports: [port] });
  return [
    {
      name: 'sshd-no-tls',
      asked: 'TLS of a port that speaks SSH',
      over: 'hello',
      bytes: await ask({ port, over: 'hello' }),
    },
    {
      name: 'sshd-no-http',
      asked: 'http of a port that speaks SSH',
      over: 'http',
      bytes: await ask({ port, over: 'http' }),
    },
  ];
}
