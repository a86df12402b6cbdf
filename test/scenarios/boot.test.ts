// The proof that people look for: a virtual machine boots, from a restored device, and from an overlay over `serve`.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'tap';
import { MiB } from '../../src/units.ts';
import { fixturePlan } from '../helpers/fixture.ts';
import { bootGuest, GUEST_TOOLS, type Guest, makeGuest } from '../helpers/guest.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const SUMS = readFileSync(new URL('../../fixtures/SHA256SUMS', import.meta.url), 'utf8');
const SHA256 = /^([0-9a-f]{64}) {2}cp-004\/rootdisk\.raw$/m.exec(SUMS)?.[1] ?? '';
const MARKER = 'GUEST file Hello from the virtual machine "web", as it was at checkpoint cp-004.';

test('a guest boots', async (t) => {
  if (!requires(t, ...GUEST_TOOLS, 'qemu-img', 'root', 'losetup')) return;
  const made = makeGuest(t);
  if (made === undefined && !requires(t, '/boot kernel of Debian (scripts/guest-kernel)')) return;
  const guest = made as Guest;

  await t.test('from a restored device', async (t) => {
    const device = loopDevice(t, { size: 64 * MiB });
    const { path } = fixturePlan(t, ['rootdisk'], { rootdisk: device.path });
    const restored = await runRestore(path, ['--strategy', 'stream'], { XDG_RUNTIME_DIR: tempFolder(t) });
    t.equal(restored.exitCode, 0, restored.stderr);
    const printed = await bootGuest(guest, { drive: () => `file=${device.path},format=raw,readonly=on` });
    t.match(printed, `GUEST sha256 ${SHA256}`);
    t.match(printed, MARKER);
  });

  await t.test('from an overlay over serve, to which it writes', async (t) => {
    const { path, folder } = fixturePlan(t, ['rootdisk']);
    const { child, result } = startCli(['serve', path, '--pvc', 'rootdisk', '--socket', join(folder, 'disk.sock')], {
      env: { XDG_RUNTIME_DIR: tempFolder(t) },
    });
    t.teardown(() => child.kill('SIGKILL'));
    if (child.stdout === null) throw new TypeError('stdout is no pipe');
    const lines = createInterface({ input: child.stdout });
    const uri = await Promise.race([
      new Promise<string>((resolve) => lines.once('line', resolve)),
      result.then(({ stderr }) => Promise.reject(new Error(stderr))),
    ]);
    const overlayOf = (accelerator: string): string => join(folder, `${accelerator}.qcow2`);
    for (const accelerator of ['kvm', 'tcg']) {
      const create = ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', uri, overlayOf(accelerator)];
      execFileSync('qemu-img', create);
    }
    const drive = (accelerator: string): string => `file=${overlayOf(accelerator)},format=qcow2`;
    const printed = await bootGuest(guest, { drive, flags: 'write' });
    t.match(printed, `GUEST sha256 ${SHA256}`);
    t.match(printed, MARKER);
    t.match(printed, 'GUEST wrote from the guest');
    child.kill('SIGTERM');
    t.equal((await result).exitCode, 0);
  });
});
