// dist/: each start loads what it needs. A package that is imported everywhere again would cost every command its time.
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { programPath, runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const BUCKET = fileURLToPath(new URL('../../fixtures/bucket/', import.meta.url));

interface Loaded {
  readonly packages: ReadonlySet<string>;
  readonly bytes: number;
}

/** What of dist/ a run loads, by the names that esbuild writes before each module. */
async function loadedBy(t: Test, args: readonly string[], exitCode = 0): Promise<Loaded> {
  const folder = tempFolder(t);
  const [hook, log] = [join(folder, 'hook.mjs'), join(folder, 'log')];
  writeFileSync(log, '');
  writeFileSync(
    hook,
    `import { appendFileSync } from 'node:fs';
     import { registerHooks } from 'node:module';
     registerHooks({
       load(url, context, next) {
         appendFileSync(${JSON.stringify(log)}, url + '\\n');
         return next(url, context);
       },
     });`,
  );
  const env = { AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' };
  const run = await runCli(args, { nodeArgs: ['--import', hook], env });
  t.equal(run.exitCode, exitCode, run.stderr);
  const paths = readFileSync(log, 'utf8')
    .split('\n')
    .filter((url) => url.startsWith('file://'))
    .map((url) => fileURLToPath(url))
    .filter((path) => path.startsWith(DIST));
  const texts = paths.map((path) => readFileSync(path, 'utf8'));
  const names = texts.flatMap((text) => [...text.matchAll(/^\s*\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)]);
  return { packages: new Set(names.map(([, name = '']) => name)), bytes: texts.join('').length };
}

async function refusingServer(t: Test): Promise<string> {
  const server = createServer((_, response) => response.writeHead(403).end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not listening on a port');
  return `http://127.0.0.1:${address.port}`;
}

test('a start loads what it needs', async (t) => {
  if (!requires(t, join(DIST, 'main.js'))) return;
  if (programPath().endsWith('.ts')) {
    t.pass('dist/ is older than src/', { skip: 'dist/ is older than src/' });
    return;
  }
  const endpoint = await refusingServer(t);
  const all = await loadedBy(t, ['list', '--source', 's3://bucket', '--endpoint', endpoint], 3);
  t.ok(all.packages.has('@aws-sdk/client-s3') && all.packages.has('zod'), 'it can be seen what is loaded');
  for (const args of [['--help'], ['--version'], ['restore', '--help'], ['completion', 'bash']]) {
    const { packages, bytes } = await loadedBy(t, args);
    t.ok(packages.has('commander'));
    t.strictSame(
      [...packages].filter((name) => HEAVY.test(name)),
      [],
      `${args} loads none of the heavy ones`,
    );
    t.ok(bytes < all.bytes / 4, `${args}: ${bytes} of ${all.bytes} bytes`);
  }
  const { packages } = await loadedBy(t, ['list', '--source', BUCKET]);
  t.strictSame(
    [...packages].filter((name) => /^@(aws-sdk|smithy)\//.test(name)),
    [],
    'a directory needs no SDK',
  );
});

const HEAVY = /^(zod|yaml|execa|ora|prom-client|@aws-sdk\/.*|@smithy\/.*)$/;
