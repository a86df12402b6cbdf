// The program as one file: bundled into one CommonJS script, which is put into a copy of the Node binary
// (https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html).
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Metafile, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Node looks for the script only where this mark in its binary says that there is one; postject sets it. */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

const [folder = join(ROOT, 'build')] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), 'kdm-sea-'));
try {
  await makeExecutable(join(folder, 'kubevirt-datamover-linux-x64'), work);
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function makeExecutable(path: string, work: string): Promise<void> {
  const script = join(work, 'program.cjs');
  const metafile = await bundle(script);
  const blob = join(work, 'program.blob');
  const config = { main: script, output: blob, disableExperimentalSEAWarning: true, useCodeCache: true };
  writeFileSync(join(work, 'config.json'), JSON.stringify(config));
  run(process.execPath, ['--experimental-sea-config', join(work, 'config.json')]);
  copyFileSync(process.execPath, path);
  chmodSync(path, 0o755);
  run(join(ROOT, 'node_modules/.bin/postject'), [path, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE]);
  writeFileSync(`${path}.licenses.txt`, licenses(metafile));
}

/** Modules that are imported when they are needed stay so: they are evaluated by the import that is met first. */
async function bundle(outfile: string): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: [join(ROOT, 'src/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // Stack traces and error names stay readable; the Node binary is a hundred times as large anyway.
    minifySyntax: true,
    banner: { js: threadPool() },
    metafile: true,
    plugins: [bakeVersion()],
    logLevel: 'warning',
  });
  return metafile;
}

/** What the launcher of the npm package does about libuv's threads, before anything else runs. */
function threadPool(): string {
  const launcher = readFileSync(join(ROOT, 'bin/kubevirt-datamover'), 'utf8');
  const lines = /^var pids = [\s\S]*^if \(!process\.env\.UV_THREADPOOL_SIZE.*$/m.exec(launcher)?.[0];
  if (lines === undefined) throw new Error('the launcher does not set UV_THREADPOOL_SIZE');
  return `(function () { ${lines} })();`;
}

/** The program's version, which it else reads from the package.json beside it. */
function bakeVersion(): Plugin {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const contents = `export function programVersion() { return ${JSON.stringify(version)}; }`;
  return {
    name: 'bake-version',
    setup: ({ onLoad }) => onLoad({ filter: /\/src\/cli\/version\.ts$/ }, () => ({ contents })),
  };
}

/** The licences of every package that is in the file, as they ask for. */
function licenses({ inputs }: Metafile): string {
  const packages = new Set<string>();
  for (const input of Object.keys(inputs)) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (found !== undefined) packages.add(found);
  }
  const texts = [...packages].sort().map((path) => `${'-'.repeat(80)}\n${licenseOf(join(ROOT, path))}\n`);
  const node = `Node.js ${process.version}: https://github.com/nodejs/node/blob/${process.version}/LICENSE\n`;
  return `${readFileSync(join(ROOT, 'LICENSE'), 'utf8')}\nThis file holds:\n\n${node}${texts.join('')}`;
}

function licenseOf(path: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  const files = readdirSync(path).filter((file) => /^(licen[cs]e|notice)/i.test(file));
  const texts = files.map((file) => readFileSync(join(path, file), 'utf8'));
  return [`${name} ${version}: ${license}`, ...texts].join('\n\n');
}

/** Runs a tool whose words (postject warns of sections that it does not know) matter only when it fails. */
function run(program: string, args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}
