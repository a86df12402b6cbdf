// bin/kubevirt-datamover under a Node that is too old, and in a checkout that was not built.
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Test, test } from 'tap';
import { readPidsLimit } from '../../src/process-limits.ts';
import { requires } from '../helpers/requires.ts';
import { cleanEnvironment } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const run = promisify(execFile);
const launcher = fileURLToPath(new URL('../../bin/kubevirt-datamover', import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Through env(1), since tap would put its own loader, which an old Node cannot load, into NODE_OPTIONS. */
async function launch(node: readonly string[], script: string): Promise<Ended> {
  try {
    const { stdout, stderr } = await run('env', ['-u', 'NODE_OPTIONS', ...node, script, '--help'], {
      env: cleanEnvironment(),
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'stderr' in error && 'stdout' in error) {
      return { code: Number(error.code), stdout: String(error.stdout), stderr: String(error.stderr) };
    }
    throw error;
  }
}

/** The machine's own Node, where that is an old one. */
async function oldNode(): Promise<string | undefined> {
  for (const path of ['/usr/bin/node', '/usr/local/bin/node'].filter((candidate) => existsSync(candidate))) {
    const { stdout } = await run('env', ['-u', 'NODE_OPTIONS', path, '-p', 'process.versions.node'], {
      env: cleanEnvironment(),
    });
    if (Number.parseInt(stdout, 10) < 24) return path;
  }
  return undefined;
}

function assertRefused(t: Test, { code, stdout, stderr }: Ended, version: RegExp): void {
  t.equal(code, 2);
  t.equal(stdout, '');
  t.match(stderr, /^kubevirt-datamover: needs Node 24 or newer, this is \S+ \(\S+\)\n$/);
  t.match(stderr, version);
}

test('an old Node: one line, exit 2', async (t) => {
  const node = await oldNode();
  if (node === undefined) {
    t.pass('no Node older than 24 here', { skip: 'no Node older than 24 here' });
    return;
  }
  assertRefused(t, await launch([node], launcher), /this is v(\d|1\d|2[0-3])\./);
});

test('a Node that says it is an old one: the same', async (t) => {
  const claim = join(tempFolder(t), 'claim.cjs');
  const version = "Object.defineProperty(process, 'version', { value: 'v12.22.12' });";
  writeFileSync(claim, `${version} Object.defineProperty(process.versions, 'node', { value: '12.22.12' });`);
  assertRefused(t, await launch([process.execPath, '--require', claim], launcher), /this is v12\.22\.12/);
});

test('not built: one line that says what to type, exit 1', async (t) => {
  const folder = tempFolder(t);
  cpSync(join(launcher, '..'), join(folder, 'bin'), { recursive: true });
  const script = join(folder, 'bin', 'kubevirt-datamover');
  for (const missing of ['dist', 'bin/thread-pool.js']) {
    rmSync(join(folder, missing), { recursive: true, force: true });
    const { code, stderr } = await launch([process.execPath], script);
    t.equal(code, 1);
    t.match(
      stderr,
      /^kubevirt-datamover: incomplete installation \(.*\); in a checkout run: npm run build\n$/,
      missing,
    );
  }
});

test('a file of dist/ is missing: the same line', async (t) => {
  const folder = tempFolder(t);
  cpSync(join(launcher, '..'), join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'dist/main.js'), "import './chunks/chunk-A.js';");
  const { code, stderr } = await launch([process.execPath], join(folder, 'bin', 'kubevirt-datamover'));
  t.equal(code, 1);
  t.match(
    stderr,
    /^kubevirt-datamover: incomplete installation \(.*chunk-A\.js'?\); in a checkout run: npm run build\n$/,
  );
});

test('built: it is the program', async (t) => {
  if (!requires(t, fileURLToPath(new URL('../../dist/main.js', import.meta.url)))) return;
  const { code, stdout, stderr } = await launch([process.execPath], launcher);
  t.equal(code, 0);
  t.equal(stderr, '');
  t.match(stdout, /^Usage: kubevirt-datamover /);
});

test('it asks for threads that writes may occupy, where the container has them', async (t) => {
  const folder = tempFolder(t);
  cpSync(join(launcher, '..'), join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'dist/main.js'), 'console.log(process.env.UV_THREADPOOL_SIZE);');
  const script = join(folder, 'bin', 'kubevirt-datamover');
  const { max = Number.POSITIVE_INFINITY } = readPidsLimit() ?? {};
  const { stdout } = await launch([process.execPath], script);
  t.equal(stdout.trim(), max < 100 ? 'undefined' : '12');
  const named = await launch(['UV_THREADPOOL_SIZE=7', process.execPath], script);
  t.equal(named.stdout.trim(), '7', 'a number of the user is kept');
});
