// A tiny guest that boots from a disk: Debian's kernel, and busybox as its only program. What it prints on its serial console is
// what a real operating system reads from the disk.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chmodSync, constants, copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type Owner, tempFolder } from './tmp.ts';

/** What `requires` must find before `makeGuest`. */
export const GUEST_TOOLS = ['qemu-system-x86_64', 'busybox', 'dpkg-deb', 'apt-get', 'apt-cache'] as const;

export interface Guest {
  readonly kernel: string;
  readonly initrd: string;
}

/** In this order: each needs those before it. */
const MODULES = ['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk'];

/** Mounts the disk, of which the hash is taken before; with `write` on the kernel's command line it writes to it, too. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
for module in /modules/*; do insmod "$module"; done
echo "GUEST sha256 $(sha256sum </dev/vda)"
mount -t ext4 -o ro,noload /dev/vda /mnt && echo "GUEST file $(cat /mnt/hello.txt)" && umount /mnt
if grep -q write /proc/cmdline; then
  mount -t ext4 /dev/vda /mnt && echo 'from the guest' >/mnt/written.txt && umount /mnt
  echo 3 >/proc/sys/vm/drop_caches
  mount -t ext4 -o ro /dev/vda /mnt && echo "GUEST wrote $(cat /mnt/written.txt)" && umount /mnt
fi
echo 'GUEST done'
poweroff -f
`;

/** Fetches the kernel where it is missing, and packs the guest's file system. Undefined where the kernel cannot be fetched. */
export function makeGuest(t: Owner): Guest | undefined {
  const root = fetchKernel();
  if (root === undefined) return undefined;
  const boot = join(root, 'boot');
  const [version = ''] = readdirSync(join(root, 'lib/modules'));
  const folder = tempFolder(t);
  const files = join(folder, 'files');
  for (const name of ['bin', 'dev', 'proc', 'mnt', 'modules']) mkdirSync(join(files, name), { recursive: true });
  const busybox = execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim();
  copyFileSync(busybox, join(files, 'bin/busybox'));
  const drivers = join(root, 'lib/modules', version, 'kernel/drivers');
  for (const [index, name] of MODULES.entries()) {
    const source = join(drivers, name === 'virtio_blk' ? 'block' : 'virtio', `${name}.ko`);
    copyFileSync(source, join(files, 'modules', `${index}-${name}.ko`));
  }
  writeFileSync(join(files, 'init'), INIT);
  chmodSync(join(files, 'init'), 0o755);
  const archive = execFileSync('sh', ['-c', 'find . | busybox cpio -o -H newc'], {
    cwd: files,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const initrd = join(folder, 'initrd.gz');
  writeFileSync(initrd, gzipSync(archive, { level: 1 }));
  const [kernel = ''] = readdirSync(boot).filter((name) => name.startsWith('vmlinuz-'));
  return { kernel: join(boot, kernel), initrd };
}

function fetchKernel(): string | undefined {
  const script = fileURLToPath(new URL('../../scripts/guest-kernel', import.meta.url));
  try {
    return execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
  } catch {
    // Its own words are on stderr.
    return undefined;
  }
}

/**
 * Boots with KVM and without it, and gives what the faster one printed: some machines have a /dev/kvm on which no guest gets anywhere.
 * `drive` gives the value of qemu's -drive for each of them.
 */
export async function bootGuest(
  { kernel, initrd }: Guest,
  { drive, flags = '' }: { readonly drive: (accelerator: string) => string; readonly flags?: string },
): Promise<string> {
  const stop = new AbortController();
  const accelerators = hasKvm() ? ['kvm', 'tcg'] : ['tcg'];
  const runs = accelerators.map(async (accelerator) => {
    const machine = [
      '-accel',
      accelerator,
      '-m',
      '256',
      '-nodefaults',
      '-display',
      'none',
      '-serial',
      'stdio',
      '-no-reboot',
    ];
    const boot = ['-kernel', kernel, '-initrd', initrd, '-append', `console=ttyS0 quiet panic=-1 ${flags}`];
    const args = [...machine, ...boot, '-drive', `${drive(accelerator)},if=virtio`];
    const child = spawn('qemu-system-x86_64', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal: stop.signal,
      killSignal: 'SIGKILL',
    });
    // Aborted: the other one was faster.
    child.on('error', () => {});
    const closed = once(child, 'close').catch(() => {});
    const [printed, errors] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
    if (!printed.includes('GUEST done')) throw new Error(`${accelerator}: ${printed}${errors}`);
    return printed;
  });
  try {
    return await Promise.any(runs);
  } finally {
    stop.abort();
    await Promise.allSettled(runs);
  }
}

function hasKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    // Not there, or another user's.
    return false;
  }
}
