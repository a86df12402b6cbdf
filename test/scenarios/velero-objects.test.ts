// docs/recovery.md, step 6: the objects of a virtual machine out of a tarball in Velero's layout
// (https://velero.io/docs/main/output-file-format/), by the commands as printed.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const RECOVERY = readFileSync(fileURLToPath(new URL('../../docs/recovery.md', import.meta.url)), 'utf8');

/** As an API server has it: with what only the lost cluster knew. */
function object(kind: string, name: string, more: object, apiVersion = 'v1'): object {
  const metadata = {
    name,
    namespace: 'demo',
    uid: crypto.randomUUID(),
    resourceVersion: '4711',
    creationTimestamp: '2025-11-01T02:00:00Z',
    generation: 3,
    finalizers: ['kubevirt.io/protection'],
    labels: { app: 'web' },
    managedFields: [{ manager: 'virt-controller' }],
    ownerReferences: [{ apiVersion: 'v1', kind: 'Owner', name: 'gone', uid: crypto.randomUUID() }],
  };
  return { apiVersion, kind, metadata, ...more };
}

function claim(name: string, storage: string): object {
  const spec = {
    resources: { requests: { storage } },
    storageClassName: 'fast',
    volumeMode: 'Block',
    volumeName: 'pvc-1',
  };
  return object('PersistentVolumeClaim', name, { spec, status: { phase: 'Bound' } });
}

const VM = object(
  'VirtualMachine',
  'web',
  {
    spec: {
      running: true,
      dataVolumeTemplates: [{ metadata: { name: 'web-rootdisk' }, spec: { source: { http: { url: 'http://gone' } } } }],
      template: {
        spec: {
          domain: { devices: { disks: [{ name: 'rootdisk', disk: { bus: 'virtio' } }] } },
          volumes: [
            { name: 'rootdisk', dataVolume: { name: 'web-rootdisk' } },
            { name: 'datadisk', persistentVolumeClaim: { claimName: 'web-datadisk' } },
            { name: 'cloud-init', cloudInitNoCloud: { secretRef: { name: 'web-ssh' } } },
          ],
        },
      },
    },
    status: { ready: true },
  },
  'kubevirt.io/v1',
);

function makeTarball(t: Test): string {
  const folder = tempFolder(t);
  const objects: readonly (readonly [resource: string, name: string, object: object])[] = [
    ['virtualmachines.kubevirt.io', 'web', VM],
    ['persistentvolumeclaims', 'web-rootdisk', claim('web-rootdisk', '64Mi')],
    ['persistentvolumeclaims', 'web-datadisk', claim('web-datadisk', '32Mi')],
    ['secrets', 'web-ssh', object('Secret', 'web-ssh', { type: 'Opaque', data: { key: 'c2VjcmV0' } })],
    ['configmaps', 'web-cloud-init', object('ConfigMap', 'web-cloud-init', { data: { userdata: '#cloud-config' } })],
    ['pods', 'virt-launcher-web-abcde', object('Pod', 'virt-launcher-web-abcde', { spec: {} })],
  ];
  const root = join(folder, 'velero');
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('metadata/version', '1.1.0\n');
  for (const [resource, name, one] of objects) {
    write(`resources/${resource}/namespaces/demo/${name}.json`, JSON.stringify(one));
  }
  execFileSync('tar', ['-czf', join(folder, 'backup-004.tar.gz'), '-C', root, 'metadata', 'resources']);
  return folder;
}

test('the objects of a virtual machine, ready for a new cluster', async (t) => {
  if (!requires(t, 'tar', 'jq', 'bash')) return;
  const folder = makeTarball(t);
  const blocks = [...RECOVERY.matchAll(/^```sh run velero\n(.*?)^```$(?:\n\n```\n(.*?)^```$)?/gms)];
  t.equal(blocks.length, 3);
  const printed = blocks.map(([, text = '', output]) => {
    const stdout = execFileSync('bash', ['-euo', 'pipefail', '-c', text], { cwd: folder, encoding: 'utf8' });
    if (output !== undefined) t.equal(stdout, output, text);
    return stdout;
  });
  t.equal(printed.at(-1), 'web-datadisk\t32Mi\tfast\tBlock\nweb-rootdisk\t64Mi\tfast\tBlock\n');

  const vm = JSON.parse(readFileSync(join(folder, 'web.json'), 'utf8'));
  t.strictSame(vm.metadata, { name: 'web', namespace: 'demo', labels: { app: 'web' } });
  t.match(vm, { apiVersion: 'kubevirt.io/v1', kind: 'VirtualMachine', spec: { runStrategy: 'Halted' } });
  for (const key of ['running', 'dataVolumeTemplates']) t.notOk(key in vm.spec, `spec.${key} is gone`);
  t.notOk('status' in vm);
  t.strictSame(vm.spec.template.spec.volumes, [
    { name: 'rootdisk', persistentVolumeClaim: { claimName: 'web-rootdisk' } },
    { name: 'datadisk', persistentVolumeClaim: { claimName: 'web-datadisk' } },
    { name: 'cloud-init', cloudInitNoCloud: { secretRef: { name: 'web-ssh' } } },
  ]);
  const files = execFileSync('jq', ['-s', '.', 'files.json'], { cwd: folder, encoding: 'utf8' });
  t.strictSame(JSON.parse(files), [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      data: { key: 'c2VjcmV0' },
      metadata: { name: 'web-ssh', namespace: 'demo', labels: { app: 'web' } },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      data: { userdata: '#cloud-config' },
      metadata: { name: 'web-cloud-init', namespace: 'demo', labels: { app: 'web' } },
    },
  ]);
});
