// A restore whose own files lie where O_DIRECT is refused: a runtime folder or scratch on tmpfs before Linux 6.6, as in a pod
// with `emptyDir: { medium: Memory }` on the kernels of Debian 12 and RHEL 9.
import { join } from 'node:path';
import { test } from 'tap';
import { planId } from '../../src/plan/plan-id.ts';
import { readPlan } from '../../src/plan/read.ts';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { WITHOUT_DIRECT_TOOLS, withoutDirect } from '../helpers/without-direct.ts';

const SIZE = 16 * MiB;
const BACKUP = 'backup-003';

for (const strategy of ['staged', 'staged-raw', 'stream']) {
  test(`${strategy}, onto a device that takes O_DIRECT`, async (t) => {
    if (!requires(t, ...BACKUP_TOOLS, ...WITHOUT_DIRECT_TOOLS, 'losetup')) return;
    const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: SIZE }], checkpoints: 3 });
    const device = loopDevice(t, { size: SIZE + MiB, fill: 0xff });
    const scratch = join(made.folder, 'scratch');
    const plan = await planFor(made, BACKUP, { rootdisk: device.path }, { scratch });
    // Such a file system tells no free space: it is mounted below the folder that is asked for it.
    const folder = `kubevirt-datamover-${planId(await readPlan({ path: plan, cwd: made.folder }))}`;
    const runtime = tempFolder(t);
    withoutDirect(t, join(strategy === 'stream' ? runtime : scratch, folder));
    const args = ['--strategy', strategy, '--verify', 'compare', '--force'];
    const { exitCode, document } = await runRestore(plan, args, { XDG_RUNTIME_DIR: runtime });
    t.equal(exitCode, 0, document.error?.message ?? 'ends well');
    t.equal(document.pvcs[0]?.verified, true);
    t.equal(await difference(device.path, truthOf(made, BACKUP, 'rootdisk')), undefined);
  });
}
