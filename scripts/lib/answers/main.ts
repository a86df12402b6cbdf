// Asks every server that is installed, and writes its answers.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeAnswer } from '../../../test/helpers/answers.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';
import type { Over } from './ask.ts';
import { recordAzurite } from './azurite.ts';
import { recordNginx } from './nginx.ts';
import { recordNode } from './node.ts';
import { recordOthers } from './others.ts';
import { recordProxies } from './proxies.ts';
import { recordRgw } from './rgw.ts';

/** One answer; the server's name and version are added here. */
export interface Recording {
  /** The file's name, without its ending. */
  readonly name: string;
  readonly asked: string;
  readonly over: Over;
  readonly bytes: Buffer;
}

const SOURCES: readonly (readonly [string, (t: Owner) => Promise<Recording[]>])[] = [
  ['azurite', recordAzurite],
  ['nginx', recordNginx],
  ['node', recordNode],
  ['others', recordOthers],
  ['proxies', recordProxies],
  ['rgw', recordRgw],
];

/** How each server says its version; the first match of digits and dots counts. */
const VERSIONS: Readonly<Record<string, readonly [string, string, ...string[]]>> = {
  nginx: ['nginx', 'nginx', '-v'],
  node: ['Node.js', process.execPath, '--version'],
  python: ["Python's http.server", '/usr/bin/python3', '--version'],
  go: ["Go's net/http (rclone serve http)", 'rclone', 'version'],
  apache: ['Apache httpd', 'apache2', '-v'],
  lighttpd: ['lighttpd', 'lighttpd', '-v'],
  sshd: ['OpenSSH', 'sshd', '-V'],
  haproxy: ['HAProxy', 'haproxy', '-v'],
  squid: ['Squid', 'squid', '-v'],
  tinyproxy: ['tinyproxy', 'tinyproxy', '-v'],
  rgw: ['Ceph RGW', 'radosgw', '--version'],
  azurite: ['Azurite', 'jq', '-r', '.version', 'node_modules/azurite/package.json'],
};

const folder = fileURLToPath(new URL('../../../fixtures/answers', import.meta.url));
const wanted = process.argv.slice(2);
for (const [name, record] of SOURCES) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const owned: (() => unknown)[] = [];
  const owner: Owner = { teardown: (...end: Parameters<Owner['teardown']>) => void owned.push(end[0]) };
  try {
    for (const recording of await record(owner)) {
      const { asked, over, bytes } = recording;
      writeAnswer(join(folder, `${recording.name}.txt`), {
        server: versionOf(recording.name.split('-')[0] ?? ''),
        asked,
        over,
        source: 'recorded',
        bytes,
      });
      process.stdout.write(`${recording.name}: ${bytes.length} bytes\n`);
    }
  } finally {
    for (const end of owned.reverse()) await end();
  }
}

function versionOf(name: string): string {
  const [title, program, ...args] = VERSIONS[name] ?? [name, 'true'];
  // Some say it on stderr.
  const said = execFileSync('bash', ['-c', '"$@" 2>&1', '-', program, ...args], { encoding: 'utf8' });
  return `${title} ${/\d+(?:\.\d+)+/.exec(said)?.[0] ?? ''}`.trim();
}
