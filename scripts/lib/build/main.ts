// `npm run build`: dist/, which bin/kubevirt-datamover starts. One ES module for what every start needs, and chunks for what is
// imported when it is needed.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bundle, ROOT } from './bundle.ts';
import { licensesOf } from './licenses.ts';

/** Packages that are CommonJS ask for Node's modules through a `require`, which an ES module does not have. */
const REQUIRE = "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);\n";

const { outputFiles, metafile } = await bundle({ format: 'esm', splitting: true, chunkNames: 'chunks/[name]-[hash]' });
rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
mkdirSync(join(ROOT, 'dist/chunks'), { recursive: true });
writeFileSync(join(ROOT, 'dist/LICENSES.txt'), licensesOf(metafile));
// The entry point last: it is what tells that the build is complete, and when it was made.
for (const { path, text } of outputFiles.toSorted((a, b) => b.path.length - a.path.length)) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text.includes('typeof require') ? REQUIRE + text : text);
}
