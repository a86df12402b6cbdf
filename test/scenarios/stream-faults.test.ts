// A source that misbehaves while qemu reads through us: what passes is not noticed, what does not is told as the source's.
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, planFor, uploadBucket } from '../helpers/backup.ts';
import { type LoopDevice, loopDevice } from '../helpers/loop-device.ts';
import { type Peer, type PeerPlan, startPeer } from '../helpers/peer.ts';
import { markEnvironment, survivorsOf } from '../helpers/processes.ts';
import { requires } from '../helpers/requires.ts';
import { type RestoreRun, runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';
import { headOf, holdsTruth } from '../helpers/strike.ts';

const TOOLS = [...BACKUP_TOOLS, ...RGW_TOOLS, 'root', 'losetup'];
const BACKUP = 'backup-003';
const DISK = 'rootdisk';

interface Source {
  readonly made: BackupForTest;
  readonly rgw: Rgw;
  readonly bucket: string;
}

async function sourceOf(t: Test): Promise<Source> {
  const rgw = await startRgw(t);
  // Small clusters: a read of tables is shorter than one of data.
  const writes = { initial: { bytes: 40 * MiB }, changes: { bytes: 8 * MiB } };
  const disk = { name: DISK, size: 48 * MiB, clusterSize: 64 * KiB, ...writes };
  const made = await madeBackup(t, { disks: [disk], checkpoints: 3 });
  return { made, rgw, bucket: await uploadBucket(rgw, made) };
}

interface Outcome {
  readonly run: RestoreRun;
  readonly device: LoopDevice;
  readonly peer: Peer;
}

async function stream(t: Test, { made, rgw, bucket }: Source, plan: PeerPlan): Promise<Outcome> {
  const device = loopDevice(t, { size: 48 * MiB });
  const peer = await startPeer({ upstream: rgw.endpoint, plan, seed: 5 }, t);
  const path = await planFor(
    made,
    BACKUP,
    { [DISK]: device.path },
    { s3: { rgw: { ...rgw, endpoint: peer.endpoint }, bucket } },
  );
  const mark = markEnvironment();
  // The smallest window: many reads, most of them while the convert runs.
  const run = await runRestore(path, ['--strategy', 'stream', '--window', '16Mi', '--verify', 'compare'], {
    ...rgw.env,
    ...mark,
  });
  t.strictSame(await survivorsOf(mark), [], 'nothing is left running');
  return { run, device, peer };
}

/** Of the reads of data: those of at least a cluster. */
const isData: (request: Parameters<PeerPlan>[0]) => boolean = ({ range }) =>
  range !== undefined && range.last - range.first >= 256 * 1024;

test('a source that misbehaves while a disk is streamed', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const source = await sourceOf(t);
  const truth = { ...source, backup: BACKUP, disk: DISK };

  const passing: Readonly<Record<string, PeerPlan>> = {
    'resets in the middle of bodies': ({ nth, range, random }) =>
      nth === 1 && range !== undefined && random() < 0.3 ? { kind: 'reset', after: 20_000 } : undefined,
    'answers that are cut, slow, busy or garbage': ({ nth, random }) => {
      const dice = random();
      if (nth > 1 || dice > 0.4) return undefined;
      if (dice < 0.1) return { kind: 'cut', after: 5000 };
      if (dice < 0.2) return { kind: 'delay', ms: 300 };
      return dice < 0.3 ? { kind: 'status', status: 503, code: 'SlowDown' } : { kind: 'garbage' };
    },
    'ranges that are ignored or shifted': ({ nth, random, range }) => {
      if (nth > 1 || range === undefined) return undefined;
      const dice = random();
      if (dice < 0.1) return { kind: 'ignore-range' };
      return dice < 0.2 ? { kind: 'shift', bytes: 512 } : undefined;
    },
  };
  for (const [name, plan] of Object.entries(passing)) {
    await t.test(name, async (t) => {
      const { run, device } = await stream(t, source, plan);
      t.equal(run.exitCode, 0, run.document.error?.message ?? 'ends well');
      t.equal(await holdsTruth(truth, device), undefined, 'identical to the true disk');
    });
  }

  let seen = 0;
  const lasting: Readonly<Record<string, readonly [code: string, plan: PeerPlan]>> = {
    'an object that is replaced': [
      'OBJECT_CHANGED',
      (request) => (isData(request) && ++seen > 8 ? { kind: 'swap' } : undefined),
    ],
    'an object that is deleted': [
      'OBJECT_MISSING',
      (request) => (isData(request) && ++seen > 8 ? { kind: 'status', status: 404, code: 'NoSuchKey' } : undefined),
    ],
    'keys that are taken away': [
      'ACCESS_DENIED',
      (request) => (isData(request) && ++seen > 8 ? { kind: 'status', status: 403, code: 'AccessDenied' } : undefined),
    ],
  };
  for (const [name, [code, plan]] of Object.entries(lasting)) {
    await t.test(`${name} while it is converted`, async (t) => {
      seen = 0;
      const { run, device } = await stream(t, source, plan);
      t.equal(run.exitCode, 3);
      t.equal(run.document.error?.code, code);
      t.match(run.document.error?.message, /vmb-00\d-rootdisk\.qcow2/, 'names the object, not qemu');
      t.not(headOf(device), 'data', 'nothing boots from the device');
    });
  }
});

test('a plan with sha256 is refused, unless it goes without', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [{ name: DISK, size: 4 * MiB }], checkpoints: 2 });
  const plan = await planFor(made, 'backup-002', { [DISK]: `${made.folder}/disk.raw` }, { sha256: true });
  const refused = await runRestore(plan, ['--strategy', 'stream']);
  t.equal(refused.exitCode, 2);
  t.equal(refused.document.error?.code, 'USAGE');
  t.match(refused.document.error?.hint, /--no-checksums/);
  const restored = await runRestore(plan, ['--strategy', 'stream', '--no-checksums']);
  t.equal(restored.exitCode, 0);
  t.notOk(restored.document.pvcs[0]?.layers[0]?.checked.includes('sha256'), 'and claims nothing');
});
