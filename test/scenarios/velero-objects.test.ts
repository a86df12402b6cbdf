// docs/recovery.md, step 6: the objects of a virtual machine out of a tarball in Velero's layout
// (https://velero.io/docs/main/output-file-format/), by the commands as printed.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { makeTarball } from '../helpers/velero-tarball.ts';

const RECOVERY = readFileSync(fileURLToPath(new URL('../../docs/recovery.md', import.meta.url)), 'utf8');

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
