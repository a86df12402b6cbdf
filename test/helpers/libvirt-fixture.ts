// The backup that libvirt wrote (fixtures/libvirt.tar.gz), unpacked for a test, and the checksums of its true disks.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Owner, tempFolder } from './tmp.ts';

const ARCHIVE = fileURLToPath(new URL('../../fixtures/libvirt.tar.gz', import.meta.url));

/** Backups and their checkpoints, oldest first. The fifth is a full. */
const CHECKPOINTS = [1, 2, 3, 4, 5].map((day) => ({
  backup: `backup-00${day}`,
  checkpoint: `vmb-00${day}-2026-07-0${day}_02-00-00`,
}));

export interface LibvirtFixture {
  /** The bucket directory; the VM is `demo/web`. */
  readonly bucket: string;
  readonly backups: readonly string[];
  readonly disks: readonly string[];
  /** One disk's layers of all five checkpoints: paths, oldest first. */
  layersOf(disk: string): readonly string[];
  /** Lower-case hex. */
  trueSha256(backup: string, disk: string): string;
}

export function libvirtFixture(t: Owner): LibvirtFixture {
  const folder = tempFolder(t);
  execFileSync('tar', ['-xzf', ARCHIVE, '-C', folder]);
  const bucket = join(folder, 'libvirt/bucket');
  const sums = readFileSync(join(folder, 'libvirt/SHA256SUMS'), 'utf8').trim().split('\n');
  return {
    bucket,
    backups: CHECKPOINTS.map(({ backup }) => backup),
    disks: ['rootdisk', 'datadisk'],
    layersOf: (disk) =>
      CHECKPOINTS.map(({ checkpoint }) =>
        join(bucket, 'checkpoints/demo/web', checkpoint, `${checkpoint.slice(0, 7)}-${disk}.qcow2`),
      ),
    trueSha256: (backup, disk) => {
      const id = CHECKPOINTS.find((one) => one.backup === backup)?.checkpoint;
      const [sum, path] = sums.find((line) => line.endsWith(`  ${id}/${disk}.raw`))?.split('  ') ?? [];
      if (sum === undefined || path === undefined) throw new Error(`no checksum of ${disk} in ${backup}`);
      return sum;
    },
  };
}
