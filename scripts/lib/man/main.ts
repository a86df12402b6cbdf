// Writes the manual pages into a directory, which is created if it is missing.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { manPages } from './pages.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: scripts/man DIRECTORY');
  process.exit(2);
}
await mkdir(folder, { recursive: true });
for (const { file, text } of manPages()) await writeFile(join(folder, file), text);
