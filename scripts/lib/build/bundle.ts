// src/ and every package that it imports, joined by esbuild: what dist/ and the single executable share.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, type BuildResult, build, type Plugin } from 'esbuild';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** What differs between dist/ and the executable; `outdir` names no directory that is written to. */
type Shape = Pick<BuildOptions, 'format' | 'splitting' | 'banner' | 'chunkNames'>;

/** Output files with their contents, none written yet. Throws esbuild's error after it printed what is wrong with the sources. */
export async function bundle(shape: Shape): Promise<BuildResult<{ write: false; metafile: true }>> {
  return await build({
    absWorkingDir: ROOT,
    entryPoints: ['src/main.ts'],
    outdir: 'dist',
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node24',
    // ES modules where a package has them: only of these does esbuild leave out what is not used.
    mainFields: ['module', 'main'],
    // Names and lines stay: a stack trace of --log-level debug must say where it came from.
    minifySyntax: true,
    plugins: [bakeVersion(), englishOnly()],
    logLevel: 'warning',
    ...shape,
  });
}

/** The program's version, which the sources read from package.json. */
function bakeVersion(): Plugin {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const contents = `export function programVersion() { return ${JSON.stringify(version)}; }`;
  return {
    name: 'bake-version',
    setup: ({ onLoad }) => onLoad({ filter: /\/src\/cli\/version\.ts$/ }, () => ({ contents })),
  };
}

/** zod exports its messages in all languages as one object, which would be 0.4 MB of every start. */
function englishOnly(): Plugin {
  const contents = `export { default as en } from './en.js';`;
  return {
    name: 'english-only',
    setup: ({ onLoad }) =>
      onLoad({ filter: /\/node_modules\/zod\/v4\/locales\/index\.(js|cjs)$/ }, ({ path }) => ({
        contents,
        resolveDir: join(path, '..'),
      })),
  };
}
