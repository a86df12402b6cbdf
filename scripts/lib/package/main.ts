// What is handed out beside the npm package: the executable, the Debian package, and what they hold.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../build/bundle.ts';
import { makeDeb } from './deb.ts';
import { makeExecutable } from './executable.ts';
import { billOfMaterials } from './sbom.ts';

const [folder = join(ROOT, 'build')] = process.argv.slice(2);
const executable = join(folder, 'kubevirt-datamover-linux-x64');
const metafile = await makeExecutable(executable);
makeDeb({ folder, executable });
writeFileSync(join(folder, 'kubevirt-datamover.sbom.json'), billOfMaterials(metafile));
