// The receipt of a restore: what was read, with what, where it is now, what was verified and how, and its hash.
import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { STRATEGIES } from '../../src/strategy.ts';
import { stableNames } from '../../src/target/devices.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type LayerDocument, madeBackup, planFor, sha256Of, truthOf } from '../helpers/backup.ts';
import { BAD_DEVICE_TOOLS, badDevice } from '../helpers/bad-device.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { untilReadSlowly, watchRestore } from '../helpers/watched-restore.ts';

const BACKUP = 'backup-002';
const SIZE = 12 * MiB + 512;
const VERSION = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version;
const SHA256 = /^[0-9a-f]{64}$/;

test('the receipt of a device, a raw file and an image', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const disks = [
    { name: 'rootdisk', size: SIZE },
    { name: 'datadisk', size: SIZE },
    { name: 'image', size: SIZE },
  ] as const;
  const made = await madeBackup(t, { disks, checkpoints: 2 });
  const qemu = /version (\d[\d.]*\d)/.exec(execFileSync('qemu-img', ['--version'], { encoding: 'utf8' }))?.[1] ?? '';
  for (const strategy of STRATEGIES) {
    await t.test(strategy, async (t) => {
      const folder = tempFolder(t);
      const device = loopDevice(t, { size: 16 * MiB });
      const targets = { rootdisk: device.path, datadisk: join(folder, 'd.raw'), image: join(folder, 'i.qcow2') };
      const sha256 = strategy !== 'stream';
      const declared = new Map<string, LayerDocument[]>();
      const plan = await planFor(made, BACKUP, targets, {
        sha256,
        edit: ({ pvcs }) => {
          for (const { name, chain = [] } of pvcs) declared.set(name, chain);
        },
      });
      const report = join(folder, 'report.json');
      const flags = ['--strategy', strategy, '--verify', 'compare', '--hash', '--report', report];
      const run = await runRestore(plan, flags, { XDG_RUNTIME_DIR: tempFolder(t) });
      t.equal(run.exitCode, 0, run.stderr);
      const document = JSON.parse(readFileSync(report, 'utf8'));
      t.strictSame(document.tools, { 'kubevirt-datamover': VERSION, 'qemu-img': qemu });
      execFileSync('blockdev', ['--flushbufs', device.path]);
      truncateSync(device.file, SIZE);
      const carried = strategy === 'stream' ? 'read-back' : 'compare';
      t.match(document.pvcs, [
        {
          verifiedBy: carried,
          targetInfo: {
            kind: 'block',
            realPath: device.path,
            size: 16 * MiB,
            sectorSize: 512,
            byId: [],
            medium: /loop/,
          },
          hash: {
            algorithm: 'sha256',
            hex: await sha256Of(truthOf(made, BACKUP, 'rootdisk')),
            of: 'disk',
            bytes: SIZE,
          },
        },
        {
          verifiedBy: carried,
          targetInfo: { kind: 'file', realPath: realpathSync(targets.datadisk), format: 'raw', size: SIZE },
          hash: { hex: await sha256Of(truthOf(made, BACKUP, 'datadisk')), of: 'file', bytes: SIZE },
        },
        {
          verifiedBy: 'compare',
          targetInfo: { kind: 'file', format: 'qcow2', size: statSync(targets.image).size },
          hash: { hex: await sha256Of(targets.image), of: 'file', bytes: statSync(targets.image).size },
        },
      ]);
      t.equal(await sha256Of(device.file), document.pvcs[0].hash.hex, 'as sha256sum finds it on the device');
      for (const { name, layers, seconds } of document.pvcs) {
        t.equal(typeof seconds.hash, 'number');
        for (const [index, layer] of layers.entries()) {
          t.ok(layer.etag.length > 0 && layer.size > 0);
          t.equal(layer.sha256, sha256 ? declared.get(name)?.[index]?.sha256 : undefined);
          if (sha256) t.match(layer.sha256, SHA256);
        }
      }
    });
  }
});

test('a PVC that an earlier run restored is hashed too', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 8 * MiB },
      { name: 'datadisk', size: 8 * MiB },
    ],
    checkpoints: 2,
  });
  const [folder, scratch] = [tempFolder(t), join(tempFolder(t), 'scratch')];
  const targets = { rootdisk: join(folder, 'root.raw'), datadisk: join(folder, 'data.raw') };
  const plan = await planFor(made, BACKUP, targets, { scratch });
  const gate = gateBefore(t, '^rebase', { nth: 2 });
  const run = watchRestore(t, plan, ['--hash'], { env: gate.env });
  await gate.reachedBefore(run.end);
  run.child.kill('SIGTERM');
  const { document: stopped } = await run.end;
  const again = await runRestore(plan, ['--hash']);
  t.equal(again.exitCode, 0, again.stderr);
  const hex = await sha256Of(truthOf(made, BACKUP, 'rootdisk'));
  t.match(stopped?.pvcs, [{ state: 'restored', hash: { hex } }, { state: 'failed' }]);
  t.match(again.document.pvcs, [{ state: 'kept', verified: false, hash: { hex } }, { state: 'restored' }]);
});

test('cancelled while it is hashed: the disk is restored all the same', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...BAD_DEVICE_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 24 * MiB }], checkpoints: 2 });
  const { plan, run } = await untilReadSlowly(async () => {
    const slow = await badDevice(t, { size: 24 * MiB, readsPerSecond: 4 * MiB });
    const plan = await planFor(made, BACKUP, { rootdisk: slow.path }, { scratch: join(tempFolder(t), 'scratch') });
    const run = watchRestore(t, plan, ['--hash']);
    await run.untilPhase('hash');
    return { plan, run };
  });
  run.child.kill('SIGTERM');
  const { exitCode, document } = await run.end;
  t.equal(exitCode, 143);
  t.match(document, { result: 'cancelled', pvcs: [{ state: 'failed' }] });
  t.equal(document?.pvcs[0]?.hash, undefined);
  const again = await runRestore(plan);
  t.equal(again.exitCode, 0, again.stderr);
  t.match(again.document.pvcs, [{ state: 'kept' }]);
});

test('a target that cannot be read back; one that was not started has no receipt', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...BAD_DEVICE_TOOLS)) return;
  const made = await madeBackup(t, {
    disks: [
      { name: 'rootdisk', size: 8 * MiB },
      { name: 'datadisk', size: 8 * MiB },
      { name: 'third', size: 8 * MiB },
    ],
    checkpoints: 2,
  });
  // Written without an error, and read without one until the hash wants this sector: no sample and no edge is there.
  const bad = await badDevice(t, { size: 8 * MiB, fails: { on: 'read', at: 4 * MiB + 160 * KiB } });
  const first = join(tempFolder(t), 'd.raw');
  const targets = { rootdisk: first, datadisk: bad.path, third: join(tempFolder(t), 'third.raw') };
  const plan = await planFor(made, BACKUP, targets, { scratch: join(tempFolder(t), 'scratch') });
  const failed = await runRestore(plan, ['--hash']);
  t.equal(failed.exitCode, 6, failed.stderr);
  t.match(failed.document.error, { code: 'TARGET_WRITE_FAILED', message: /cannot read .* at offset/ });
  t.match(failed.document.pvcs, [
    { state: 'restored', hash: { of: 'file' } },
    { state: 'failed', targetInfo: { kind: 'block' } },
    { state: 'pending' },
  ]);
  t.equal(failed.document.pvcs[2]?.targetInfo, undefined);
});

test('names under /dev/disk/by-id', async (t) => {
  if (!requires(t, 'root', 'losetup')) return;
  const [device, other] = [loopDevice(t, { size: MiB }), loopDevice(t, { size: MiB })];
  const folder = tempFolder(t);
  symlinkSync(device.path, join(folder, 'wwn-2'));
  symlinkSync(device.path, join(folder, 'ata-1'));
  symlinkSync(other.path, join(folder, 'ata-2'));
  symlinkSync('/nowhere', join(folder, 'dangling'));
  writeFileSync(join(folder, 'file'), '');
  t.strictSame(await stableNames(device.path, folder), ['ata-1', 'wwn-2']);
  t.strictSame(await stableNames(device.path, join(folder, 'missing')), []);
  t.strictSame(await stableNames(join(folder, 'file'), folder), []);
});
