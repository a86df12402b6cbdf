// A bucket of many VMs in the same backups: the documents of each are its own, the layers are hard links to those of one VM.
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { VmRef } from '../../src/vm-ref.ts';
import { type Bucket, type BucketStep, type Json, makeBucket } from './bucket.ts';
import { type Owner, tempFolder } from './tmp.ts';

export interface Fleet {
  readonly folder: string;
  readonly vms: readonly VmRef[];
  /** The VM that the others are made from, in a bucket of its own. */
  readonly template: Bucket;
  /** The key of a layer. */
  object(vm: VmRef, step: number, disk: string): string;
  /** Gives a VM's layer bytes of its own, so that it can be damaged. */
  own(vm: VmRef, step: number, disk: string): string;
}

/** `count` VMs, ten to a namespace (`team-0/vm-0`…), each with the disks of `steps`; step N is in backup `bN`. */
export async function makeFleet(t: Owner, count: number, steps: readonly BucketStep[]): Promise<Fleet> {
  const template = await makeBucket(t, steps);
  const folder = join(tempFolder(t), 'fleet');
  const vms = Array.from({ length: count }, (_, index): VmRef => {
    return { namespace: `team-${Math.floor(index / 10)}`, name: `vm-${index}` };
  });
  const layers = readdirSync(join(template.folder, 'checkpoints/demo/web'), { recursive: true, encoding: 'utf8' });
  for (const vm of vms) {
    const own = `checkpoints/${vm.namespace}/${vm.name}`;
    for (const name of layers.filter((each) => /\.(qcow2|json)$/.test(each))) {
      const from = join(template.folder, 'checkpoints/demo/web', name);
      const to = join(folder, own, name);
      mkdirSync(dirname(to), { recursive: true });
      if (name.endsWith('.qcow2')) linkSync(from, to);
      else writeFileSync(to, renamed(readFileSync(from, 'utf8'), vm));
    }
  }
  for (const [index] of steps.entries()) {
    const backup = `b${index + 1}`;
    const read = (name: string): Json =>
      JSON.parse(readFileSync(join(template.folder, 'manifests', backup, name), 'utf8'));
    mkdirSync(join(folder, 'manifests', backup), { recursive: true });
    const put = (name: string, document: Json): void =>
      writeFileSync(join(folder, 'manifests', backup, name), JSON.stringify(document));
    const { vms: [entry] = [], ...document } = read('index.json');
    put('index.json', {
      ...document,
      vms: vms.map((vm) => {
        const manifestPath = `manifests/${backup}/${vm.namespace}-${vm.name}.json`;
        return { ...entry, ...vm, manifestPath };
      }),
    });
    const manifest = read('demo-web.json');
    for (const vm of vms) put(`${vm.namespace}-${vm.name}.json`, { ...manifest, ...vm });
  }
  const object = (vm: VmRef, step: number, disk: string): string =>
    template.object(step, disk).replace('checkpoints/demo/web', `checkpoints/${vm.namespace}/${vm.name}`);
  const own = (vm: VmRef, step: number, disk: string): string => {
    const path = join(folder, object(vm, step, disk));
    const bytes = readFileSync(path);
    rmSync(path);
    writeFileSync(path, bytes);
    return path;
  };
  return { folder, vms, template, object, own };
}

/** The documents of demo/web, of another VM: names of PVCs too, which are unique in a namespace. */
function renamed(text: string, { namespace, name }: VmRef): string {
  const document: Json = JSON.parse(text);
  if (document.checkpoints === undefined) {
    return JSON.stringify({ ...document, metadata: { ...document.metadata, namespace } });
  }
  const checkpoints = document.checkpoints.map((checkpoint: Json) => ({
    ...checkpoint,
    files: checkpoint.files.map((file: Json) => ({
      ...file,
      objectPath: file.objectPath.replace('checkpoints/demo/web', `checkpoints/${namespace}/${name}`),
    })),
    pvcs: checkpoint.pvcs.map((pvc: string) => `${name}-${pvc}`),
  }));
  return JSON.stringify({ ...document, namespace, vmName: name, checkpoints });
}
