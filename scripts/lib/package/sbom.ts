// The software bill of materials: what is in the executable, with the versions and hashes that npm reads from the lock file.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { ROOT } from '../build/bundle.ts';
import { packagesOf } from '../build/licenses.ts';

interface Component {
  readonly name: string;
  readonly version: string;
  readonly 'bom-ref': string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

interface BillOfMaterials {
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** A CycloneDX document (https://cyclonedx.org/docs/1.5/json/), as text. Throws what npm says, and for a package that it does not know. */
export function billOfMaterials(metafile: Metafile): string {
  const npm = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application'];
  const all = execFileSync('npm', npm, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 });
  const { metadata, components, dependencies, ...rest }: BillOfMaterials = JSON.parse(all);
  const contained = new Set([...packagesOf(metafile).map(nameOf), nameOf('node_modules/node')]);
  const kept = components.filter(({ name, version }) => contained.delete(`${name}@${version}`)).map(asContained);
  if (contained.size > 0) throw new Error(`not in the lock file: ${[...contained].join(', ')}`);
  const refs = new Set([metadata.component, ...kept].map((one) => one['bom-ref']));
  const document = {
    ...rest,
    // npm takes the name from the folder, whatever the checkout is called.
    metadata: { ...metadata, component: { ...metadata.component, name: 'kubevirt-datamover' } },
    components: kept,
    dependencies: dependencies
      .filter(({ ref }) => refs.has(ref))
      .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((one) => refs.has(one)) })),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** npm marks what package.json has as a development dependency, which scanners pass over: it is in the executable all the same. */
function asContained({ properties = [], ...component }: Component): Component {
  const others = properties.filter(({ name }) => name !== DEVELOPMENT);
  return others.length === 0 ? component : { ...component, properties: others };
}

const DEVELOPMENT = 'cdx:npm:package:development';

function nameOf(path: string): string {
  const { name, version } = JSON.parse(readFileSync(join(ROOT, path, 'package.json'), 'utf8'));
  return `${name}@${version}`;
}
