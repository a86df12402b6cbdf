// `verify --data` where there is no second volume: everything is read, and what is damaged is found where it lies.
import { existsSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, type PlanDocument, planFor } from '../helpers/backup.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';

const BACKUP = 'backup-003';
const DISK = 'rootdisk';

const schema = z.object({
  result: z.enum(['ok', 'failed']),
  pvcs: z.array(
    z.object({
      verdict: z.enum(['ok', 'suspect', 'broken']),
      problems: z.array(z.object({ code: z.string(), message: z.string() })),
      layers: z.array(z.object({ checked: z.array(z.string()) })),
    }),
  ),
});

async function verify(t: Test, made: BackupForTest, { sha256 = false } = {}) {
  const edit = (document: PlanDocument): void => {
    delete document.scratch;
  };
  const plan = await planFor(made, BACKUP, { [DISK]: '/dev/no-such-target' }, { sha256, edit });
  const runtime = join(made.folder, 'run');
  const { exitCode, stdout } = await sharedCli(['verify', plan, '--data', '--output', 'json'], {
    env: { XDG_RUNTIME_DIR: runtime },
  });
  t.notOk(existsSync(runtime), 'nothing is left');
  const [pvc] = schema.parse(JSON.parse(stdout)).pvcs;
  if (pvc === undefined) throw new Error(stdout);
  return { exitCode, pvc };
}

/** Changes one byte of a layer. */
function flip(path: string, offset: number, bit: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ bit]), 0, 1, offset);
}

/** The offset of the first L2 table that a layer has. */
function l2TableOf(path: string): number {
  const bytes = readFileSync(path);
  const l1 = Number(bytes.readBigUInt64BE(40));
  return Number(bytes.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
}

async function made(t: Test): Promise<BackupForTest> {
  return await madeBackup(t, { disks: [{ name: DISK, size: 24 * MiB, initial: { bytes: 9 * MiB } }], checkpoints: 3 });
}

test('a good backup is whole, and it says what was checked', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const backup = await made(t);
  const { exitCode, pvc } = await verify(t, backup, { sha256: true });
  t.equal(exitCode, 0);
  t.equal(pvc.verdict, 'ok');
  for (const { checked } of pvc.layers) t.strictSame(checked, ['size', 'header', 'sha256', 'image']);
});

test('each damage is found', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const damages: Readonly<Record<string, (path: string) => void>> = {
    'a flipped bit in an L2 table': (path) => flip(path, l2TableOf(path) + 5, 0x40),
    'an L1 table that points nowhere': (path) => flip(path, Number(readFileSync(path).readBigUInt64BE(40)) + 2, 0x40),
    'a wrong refcount': (path) => flip(path, 2 * 256 * KiB + 9, 0x01),
  };
  for (const [name, damage] of Object.entries(damages)) {
    await t.test(name, async (t) => {
      const backup = await made(t);
      damage(backup.checkpoints[1]?.layers[0]?.path ?? '');
      const { exitCode, pvc } = await verify(t, backup);
      t.equal(exitCode, 4);
      t.equal(pvc.verdict, 'broken');
      t.strictSame(
        pvc.problems.map(({ code }) => code),
        ['IMAGE_CORRUPT'],
      );
      t.match(pvc.problems[0]?.message, /vmb-002-rootdisk\.qcow2/);
    });
  }
  await t.test('a flipped bit in data, with sha256 in the plan', async (t) => {
    const backup = await made(t);
    const edited = backup.checkpoints[0]?.layers[0]?.path ?? '';
    const whole = readFileSync(edited);
    const plan = await planFor(
      backup,
      BACKUP,
      { [DISK]: '/dev/no-such-target' },
      {
        sha256: true,
        edit: (document) => {
          delete document.scratch;
        },
      },
    );
    writeFileSync(edited, whole);
    flip(edited, whole.length - 100, 1);
    const { exitCode, stdout } = await sharedCli(['verify', plan, '--data', '--output', 'json']);
    t.equal(exitCode, 4);
    const { pvcs } = schema.parse(JSON.parse(stdout));
    t.strictSame(
      pvcs[0]?.problems.map(({ code }) => code),
      ['CHECKSUM_MISMATCH'],
    );
  });
});

test('a layer that was not closed is suspect, and said to be unchecked', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const backup = await made(t);
  flip(backup.checkpoints[2]?.layers[0]?.path ?? '', 79, 1);
  const { exitCode, pvc } = await verify(t, backup);
  t.equal(exitCode, 0);
  t.equal(pvc.verdict, 'suspect');
  t.notOk(pvc.layers[2]?.checked.includes('image'));
});
