// The licences of the packages inside a bundle, which most of them ask to be handed on with their code.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { ROOT } from './bundle.ts';

/** The folders of the packages in a bundle, relative to the checkout, sorted. */
export function packagesOf({ inputs }: Metafile): string[] {
  const packages = new Set<string>();
  for (const input of Object.keys(inputs)) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
    if (found !== undefined) packages.add(found);
  }
  return [...packages].sort();
}

/** This program's licence and those of the packages in the bundle, each text once. Throws for a package that names none. */
export function licensesOf(metafile: Metafile): string {
  const namesByText = Map.groupBy(packagesOf(metafile), (path) => textOf(join(ROOT, path)));
  const sections = Array.from(namesByText, ([text, paths]) => {
    const names = paths.map((path) => nameOf(join(ROOT, path)));
    return `${'-'.repeat(80)}\n${[...names, '', text].join('\n').trimEnd()}\n`;
  });
  return `${readFileSync(join(ROOT, 'LICENSE'), 'utf8')}\nIncluded packages:\n\n${sections.join('')}`;
}

function nameOf(path: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'));
  if (typeof license !== 'string') throw new Error(`${path}/package.json: license not found`);
  return `${name} ${version}: ${license}`;
}

/** Its licence and notices; '' for a package that only names its licence. */
function textOf(path: string): string {
  const files = readdirSync(path).filter((file) => /^(licen[cs]e|notice)/i.test(file));
  return files.map((file) => readFileSync(join(path, file), 'utf8')).join('\n');
}
