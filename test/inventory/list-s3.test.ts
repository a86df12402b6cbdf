// Listings of more than one page, on the real S3 server.
import { test } from 'tap';
import { listBucket } from '../../src/inventory/list.ts';
import { silentProgress as progress } from '../../src/progress.ts';
import { openS3Store } from '../../src/store/s3/s3.ts';
import { history, put, writeJson } from '../helpers/catalog.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;
const VMS = 1010;

test('more than 1,000 VMs in one namespace', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const folder = tempFolder(t);
  for (let number = 0; number < VMS; number += 1) {
    const vm = `vm-${number}`;
    await writeJson(folder, `checkpoints/demo/${vm}/index.json`, history('1!root', { vm }));
    await put(folder, `checkpoints/demo/${vm}/cp-1/vmb-1-root.qcow2`, Buffer.alloc(11));
  }
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  const prefix = 'velero-kubevirt-datamover';
  await rgw.putFolder(bucket, folder, `${prefix}/`);
  const { endpoint, region, env } = rgw;
  const store = await openS3Store({ bucket, prefix, endpoint, region, forcePathStyle: true }, { concurrency: 8, env });
  t.teardown(() => store.close());
  const { vms, backups, problems } = await listBucket(store, { progress, signal });
  t.strictSame(problems, []);
  t.equal(vms.length, VMS);
  t.ok(vms.every(({ disks }) => disks[0]?.checkpoints[0]?.state === 'restorable'));
  t.strictSame(
    backups.map(({ name, vms: held }) => [name, held.length]),
    [['b1', VMS]],
  );
});
