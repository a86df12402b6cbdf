// `npm run build`: dist/, which bin/kubevirt-datamover starts. One ES module for what every start needs, and chunks for what is
// imported when it is needed.
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bundle, ROOT } from './bundle.ts';
import { licensesOf } from './licenses.ts';

/** Packages that are CommonJS ask for Node's modules through a `require`, which an ES module does not have. */
const REQUIRE = "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);\n";

const MAIN = 'main.js';

const { outputFiles, metafile } = await bundle({ format: 'esm', splitting: true, chunkNames: 'chunks/[name]-[hash]' });
const dist = join(ROOT, 'dist');
const files = new Map([['LICENSES.txt', licensesOf(metafile)]]);
for (const { path, text } of outputFiles) {
  files.set(relative(dist, path), text.includes('typeof require') ? REQUIRE + text : text);
}
mkdirSync(join(dist, 'chunks'), { recursive: true });
// The entry point last, and in one step: it tells when the build was made, and a start beside the build finds all it names.
for (const [name, text] of [...files].toSorted(([one], [other]) => Number(one === MAIN) - Number(other === MAIN))) {
  const path = join(dist, name);
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  const isStale = entry.isDirectory() ? entry.name !== 'chunks' : !files.has(relative(dist, path));
  if (isStale) rmSync(path, { recursive: true, force: true });
}
