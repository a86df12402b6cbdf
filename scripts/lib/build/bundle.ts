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
    // LICENSES.txt has them.
    legalComments: 'none',
    plugins: [bakeVersion(), englishOnly(), withoutGetters()],
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

/**
 * An import of a module of Node reads each of its exports, getters as well: of `http` they load all of undici, for a WebSocket,
 * which took 40 ms; of `process` they open the standard streams. These modules are had without what is behind a getter; esbuild
 * refuses a source that imports such a name.
 */
function withoutGetters(): Plugin {
  const namespace = 'without-getters';
  return {
    name: namespace,
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /^(node:)?(http|process)$/ }, ({ path, kind }) =>
        kind === 'import-statement' || kind === 'dynamic-import'
          ? { path: path.replace('node:', ''), namespace }
          : null,
      );
      onLoad({ filter: /./, namespace }, ({ path }) => ({ contents: reexport(path) }));
    },
  };
}

function reexport(name: string): string {
  const properties = Object.entries(Object.getOwnPropertyDescriptors(process.getBuiltinModule(name)));
  const plain = properties.filter(
    ([key, { get }]) => get === undefined && /^[a-z]\w*$/i.test(key) && key !== 'default',
  );
  const names = plain.map(([key]) => `export const ${key} = builtin.${key};`);
  return [`const builtin = process.getBuiltinModule('node:${name}');`, 'export default builtin;', ...names].join('\n');
}
