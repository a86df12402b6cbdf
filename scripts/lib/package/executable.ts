// The program as one file: bundled into one CommonJS script, which is put into a copy of the Node binary
// (https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html).
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { bundle, ROOT } from '../build/bundle.ts';
import { licensesOf } from '../build/licenses.ts';

/** Node looks for the script only where this mark in its binary says that there is one; postject sets it. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Writes the executable to `path` and the licences of what it contains beside it; resolves with that. Rejects as a tool does. */
export async function makeExecutable(path: string): Promise<Metafile> {
  const work = mkdtempSync(join(tmpdir(), 'kdm-sea-'));
  try {
    return await make(path, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function make(path: string, work: string): Promise<Metafile> {
  const script = join(work, 'program.cjs');
  const { text, metafile } = await program();
  writeFileSync(script, text);
  const blob = join(work, 'program.blob');
  const config = { main: script, output: blob, disableExperimentalSEAWarning: true, useCodeCache: true };
  writeFileSync(join(work, 'config.json'), JSON.stringify(config));
  run(process.execPath, ['--experimental-sea-config', join(work, 'config.json')]);
  copyFileSync(process.execPath, path);
  chmodSync(path, 0o755);
  run(join(ROOT, 'node_modules/.bin/postject'), [path, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE]);
  const node = `Node.js ${process.version}: https://github.com/nodejs/node/blob/${process.version}/LICENSE\n`;
  writeFileSync(`${path}.licenses.txt`, `${licensesOf(metafile)}${'-'.repeat(80)}\n${node}`);
  return metafile;
}

/** One file: modules that are imported when they are needed are evaluated by the import that is met first. */
async function program(): Promise<{ readonly text: string; readonly metafile: Metafile }> {
  const { outputFiles, metafile } = await bundle({ format: 'cjs', banner: { js: threadPool() } });
  const [file] = outputFiles;
  if (file === undefined || outputFiles.length > 1) throw new Error(`${outputFiles.length} files, not 1`);
  return { text: file.text, metafile };
}

/** What the launcher of the npm package does about libuv's threads, before anything else runs. */
function threadPool(): string {
  return `(function () {\n${readFileSync(join(ROOT, 'bin/thread-pool.js'), 'utf8')}})();`;
}

/** Runs a tool whose words (postject warns of sections that it does not know) matter only when it fails. */
function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}
