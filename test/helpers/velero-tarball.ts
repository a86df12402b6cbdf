// A backup of Velero's own: a tarball in its layout (https://velero.io/docs/main/output-file-format/) with a virtual machine's objects.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Owner, tempFolder } from './tmp.ts';

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

/** A folder that holds `backup-004.tar.gz`; `folder` is one that exists. */
export function makeTarball(t: Owner, folder = tempFolder(t)): string {
  const objects: readonly (readonly [resource: string, name: string, object: object])[] = [
    ['virtualmachines.kubevirt.io', 'web', VM],
    ['persistentvolumeclaims', 'web-rootdisk', claim('web-rootdisk', '64Mi')],
    ['persistentvolumeclaims', 'web-datadisk', claim('web-datadisk', '32Mi')],
    ['secrets', 'web-ssh', object('Secret', 'web-ssh', { type: 'Opaque', data: { key: 'c2VjcmV0' } })],
    ['configmaps', 'web-cloud-init', object('ConfigMap', 'web-cloud-init', { data: { userdata: '#cloud-config' } })],
    ['pods', 'virt-launcher-web-abcde', object('Pod', 'virt-launcher-web-abcde', { spec: {} })],
  ];
  const root = join(tempFolder(t), 'velero');
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
