// What is wrong with a plan, a backup or a target is said with a code and a hint, before anything is written.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  type LayerDocument,
  madeBackup,
  type PlanDocument,
  planFor,
  uploadBucket,
} from '../helpers/backup.ts';
import { isFilled } from '../helpers/filled.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { type RestoreRun, runRestore, scratchOf } from '../helpers/restore.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';

const SIZE = 8 * MiB;

async function backupOf(t: Test, checkpoints = 3): Promise<BackupForTest> {
  return await madeBackup(t, { disks: [{ name: 'rootdisk', size: SIZE }], checkpoints });
}

/** Layer `index` of the newest chain, as a file in the bucket. */
function layerFile(made: BackupForTest, index: number): string {
  return made.checkpoints[index]?.layers[0]?.path ?? '';
}

function refused(t: Test, run: RestoreRun, code: string, exitCode: number): void {
  t.equal(run.document.error?.code, code, run.document.error?.message ?? 'no error');
  t.equal(run.exitCode, exitCode, 'exit status');
  t.equal(run.document.result, 'failed');
  t.not(run.document.error?.hint, '', 'there is a hint');
  t.match(run.stderr, code);
  t.notMatch(run.stderr, /^\s+at .*:\d+:\d+/m, 'no stack trace');
}

interface Case {
  readonly code: string;
  readonly exitCode: number;
  /** The message or the hint must say this. */
  readonly says?: RegExp;
  /** Damages the bucket. */
  readonly damage?: (made: BackupForTest) => void | Promise<void>;
  /** Damages the plan. */
  readonly edit?: (document: PlanDocument, chain: LayerDocument[]) => void;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

const patch = async (path: string, offset: number, bytes: readonly number[]): Promise<void> => {
  const file = await open(path, 'r+');
  await file.write(Uint8Array.from(bytes), 0, bytes.length, offset);
  await file.close();
};

const CASES: Record<string, Case> = {
  'a missing object': {
    code: 'OBJECT_MISSING',
    exitCode: 3,
    says: /vmb-002-2025-11-02_02-00-00/,
    damage: (made) => rmSync(layerFile(made, 1)),
  },
  'a wrong size': {
    code: 'SIZE_MISMATCH',
    exitCode: 4,
    edit: (_, chain) => Object.assign(chain[1] ?? {}, { size: 12345 }),
  },
  'a wrong sha256': {
    code: 'CHECKSUM_MISMATCH',
    exitCode: 4,
    edit: (_, chain) => Object.assign(chain[1] ?? {}, { sha256: 'ab'.repeat(32) }),
  },
  'layers in the wrong order': {
    code: 'CHAIN_BROKEN',
    exitCode: 4,
    edit: (_, chain) => void chain.push(...chain.splice(1, 1)),
  },
  'an incremental first': { code: 'CHAIN_BROKEN', exitCode: 4, edit: (_, chain) => void chain.shift() },
  'a full in the middle': {
    code: 'CHAIN_BROKEN',
    exitCode: 4,
    says: /vmb-002-2025-11-02_02-00-00/,
    edit: (_, chain) => {
      Object.assign(chain[1] ?? {}, { type: 'full' });
      delete chain[1]?.parent;
    },
  },
  'a key that climbs': {
    code: 'PLAN_INVALID',
    exitCode: 2,
    edit: (_, chain) => Object.assign(chain[1] ?? {}, { object: 'checkpoints/../../etc/shadow' }),
  },
  'an unknown key': {
    code: 'PLAN_INVALID',
    exitCode: 2,
    says: /target/,
    edit: (document) => Object.assign(document.pvcs[0] ?? {}, { tagret: '/dev/sdx' }),
  },
  'an external data file': {
    code: 'IMAGE_UNSAFE',
    exitCode: 4,
    damage: async (made) => await patch(layerFile(made, 1), 79, [4]),
  },
  'a backing file in the base': {
    code: 'IMAGE_UNSAFE',
    exitCode: 4,
    damage: (made) =>
      void execFileSync('qemu-img', [
        'rebase',
        '-u',
        '-f',
        'qcow2',
        '-F',
        'raw',
        '-b',
        '/etc/shadow',
        layerFile(made, 0),
      ]),
  },
  'an encrypted layer': {
    code: 'IMAGE_UNSAFE',
    exitCode: 4,
    damage: async (made) => await patch(layerFile(made, 1), 35, [2]),
  },
  'an unknown feature': {
    code: 'IMAGE_UNSAFE',
    exitCode: 4,
    damage: async (made) => await patch(layerFile(made, 1), 76, [1]),
  },
  'a corrupt bit': {
    code: 'IMAGE_CORRUPT',
    exitCode: 4,
    damage: async (made) => await patch(layerFile(made, 1), 79, [2]),
  },
  'a layer cut by one byte': {
    code: 'IMAGE_CORRUPT',
    exitCode: 4,
    damage: (made) => truncateSync(layerFile(made, 1), readFileSync(layerFile(made, 1)).length - 1),
    edit: (_, chain) => void delete chain[1]?.size,
  },
  'a layer cut in half': {
    code: 'IMAGE_CORRUPT',
    exitCode: 4,
    damage: (made) => truncateSync(layerFile(made, 1), readFileSync(layerFile(made, 1)).length >> 1),
    edit: (_, chain) => void delete chain[1]?.size,
  },
  'no qcow2 at all': {
    code: 'IMAGE_CORRUPT',
    exitCode: 4,
    damage: (made) => writeFileSync(layerFile(made, 1), '<html>404 not found</html>'),
    edit: (_, chain) => void delete chain[1]?.size,
  },
  'an empty object': {
    code: 'IMAGE_CORRUPT',
    exitCode: 4,
    damage: (made) => writeFileSync(layerFile(made, 0), ''),
    edit: (_, chain) => void delete chain[0]?.size,
  },
  'a disk that shrinks': {
    code: 'CHAIN_BROKEN',
    exitCode: 4,
    damage: (made) => {
      rmSync(layerFile(made, 2));
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', layerFile(made, 2), '4M']);
    },
    edit: (_, chain) => void delete chain[2]?.size,
  },
  'no qemu-img on PATH': { code: 'TOOL_MISSING', exitCode: 7, env: { PATH: toolsWithout('qemu-img') } },
  'no qemu-io on PATH': {
    code: 'TOOL_MISSING',
    exitCode: 7,
    says: /^qemu-io not found/,
    env: { PATH: toolsWithout('qemu-io') },
  },
  'a PVC that the plan does not hold': {
    code: 'USAGE',
    exitCode: 2,
    says: /rootdisk/,
    args: ['--pvc', 'rootdsk'],
  },
};

/** A PATH of links to the few tools that a restore needs, but one. */
function toolsWithout(missing: string): string {
  const folder = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  for (const tool of ['env', 'setpriv', 'prlimit', 'flock', 'cat', 'qemu-img', 'qemu-io']) {
    if (tool !== missing) symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), join(folder, tool));
  }
  process.on('exit', () => rmSync(folder, { recursive: true }));
  return folder;
}

test('refused with nothing written and nothing left', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  for (const [name, { code, exitCode, says, damage, edit, args, env }] of Object.entries(CASES)) {
    await t.test(name, async (t) => {
      const made = await backupOf(t);
      const device = loopDevice(t, { size: SIZE });
      const plan = await planFor(
        made,
        'backup-003',
        { rootdisk: device.path },
        {
          edit: (document) => edit?.(document, document.pvcs[0]?.chain ?? []),
        },
      );
      await damage?.(made);
      const run = await runRestore(plan, args, env);
      refused(t, run, code, exitCode);
      if (code === 'TOOL_MISSING') t.equal(run.document.pvcs[0]?.bytesFetched ?? 0, 0, 'before anything is fetched');
      if (says !== undefined) t.match(`${run.document.error?.message} ${run.document.error?.hint}`, says);
      t.ok(isFilled(readFileSync(device.file)), 'the target is untouched');
      t.strictSame(scratchOf(made), [], 'nothing is left in scratch');
    });
  }
});

test('targets that must not be written', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup', 'mkfs.ext4')) return;
  const made = await backupOf(t);
  const check = async (t: Test, target: string, code: string, exitCode: number): Promise<RestoreRun> => {
    const plan = await planFor(made, 'backup-003', { rootdisk: target });
    const run = await runRestore(plan);
    refused(t, run, code, exitCode);
    t.match(run.document.error?.message, target);
    t.strictSame(scratchOf(made), []);
    return run;
  };
  await t.test('a folder', async (t) => void (await check(t, made.folder, 'TARGET_MISSING', 6)));
  await t.test('a character device', async (t) => void (await check(t, '/dev/null', 'TARGET_MISSING', 6)));
  await t.test('a mistyped device', async (t) => {
    await check(t, '/dev/lopo0', 'TARGET_MISSING', 6);
    await check(t, '/dev/disk.raw', 'TARGET_MISSING', 6);
    t.notOk(existsSync('/dev/lopo0') || existsSync('/dev/disk.raw'));
  });
  await t.test('a file with another ending', async (t) => {
    await check(t, join(made.folder, 'disk.vmdk'), 'TARGET_MISSING', 6);
    t.notOk(existsSync(join(made.folder, 'disk.vmdk')));
  });
  await t.test('a folder that is not there', async (t) => {
    await check(t, join(made.folder, 'no', 'disk.raw'), 'TARGET_MISSING', 6);
  });
  await t.test('an existing raw file', async (t) => {
    const path = join(made.folder, 'old.raw');
    writeFileSync(path, 'precious');
    await check(t, path, 'TARGET_NOT_BLANK', 6);
    t.equal(readFileSync(path, 'utf8'), 'precious');
  });
  await t.test('a device that is too small', async (t) => {
    const device = loopDevice(t, { size: SIZE - 512 });
    const run = await check(t, device.path, 'TARGET_TOO_SMALL', 6);
    t.match(run.document.error?.message, String(SIZE));
    t.match(run.document.error?.message, String(SIZE - 512));
  });
  await t.test('a device that is not blank', async (t) => {
    for (const place of [0, SIZE - 1]) {
      const device = loopDevice(t, { size: SIZE });
      const bytes = readFileSync(device.file);
      bytes[place] = 1;
      writeFileSync(device.file, bytes);
      await check(t, device.path, 'TARGET_NOT_BLANK', 6);
      t.ok(readFileSync(device.file).equals(bytes), 'untouched');
    }
  });
  await t.test('a mounted device, not even with --force', async (t) => {
    const device = loopDevice(t, { size: SIZE });
    execFileSync('mkfs.ext4', ['-q', device.path]);
    const mountPoint = join(made.folder, 'mnt');
    mkdirSync(mountPoint);
    execFileSync('mount', [device.path, mountPoint]);
    try {
      const run = await check(t, device.path, 'TARGET_BUSY', 6);
      t.match(run.document.error?.message, mountPoint);
      const plan = await planFor(made, 'backup-003', { rootdisk: device.path });
      refused(t, await runRestore(plan, ['--force']), 'TARGET_BUSY', 6);
    } finally {
      execFileSync('umount', [mountPoint]);
    }
  });
  await t.test('a device that is read-only', async (t) => {
    const device = loopDevice(t, { size: SIZE, readOnly: true });
    await check(t, device.path, 'TARGET_DENIED', 6);
  });
  await t.test('the device that scratch lies on', async (t) => {
    const device = loopDevice(t, { size: 64 * MiB });
    execFileSync('mkfs.ext4', ['-q', device.path]);
    const mountPoint = join(made.folder, 'scratch-mnt');
    mkdirSync(mountPoint);
    execFileSync('mount', [device.path, mountPoint]);
    try {
      const plan = await planFor(made, 'backup-003', { rootdisk: device.path }, { scratch: join(mountPoint, 's') });
      refused(t, await runRestore(plan, ['--force']), 'TARGET_BUSY', 6);
    } finally {
      execFileSync('umount', [mountPoint]);
    }
  });
});

test('two PVCs with one target, by whatever name', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await madeBackup(t, {
    disks: [
      { name: 'a', size: SIZE },
      { name: 'b', size: SIZE },
    ],
    checkpoints: 1,
  });
  const device = loopDevice(t, { size: SIZE });
  const link = join(made.folder, 'link');
  symlinkSync(device.path, link);
  for (const second of [device.path, link]) {
    const plan = await planFor(made, 'backup-001', { a: device.path, b: second });
    refused(t, await runRestore(plan), 'PLAN_INVALID', 2);
  }
  t.ok(isFilled(readFileSync(device.file)));
});

test('all problems are told together', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, {
    disks: [
      { name: 'a', size: SIZE },
      { name: 'b', size: SIZE },
    ],
    checkpoints: 2,
  });
  const plan = await planFor(made, 'backup-002', { a: '/dev/nope', b: made.folder });
  rmSync(made.checkpoints[0]?.layers[0]?.path ?? '');
  copyFileSync('/etc/hostname', made.checkpoints[1]?.layers[0]?.path ?? '');
  const run = await runRestore(plan);
  t.equal(run.exitCode, 3);
  const codes = run.document.problems?.map(({ pvc, code }) => `${pvc} ${code}`);
  t.strictSame(codes, ['a OBJECT_MISSING', 'a SIZE_MISMATCH', 'a TARGET_MISSING', 'b TARGET_MISSING']);
  t.strictSame(
    run.document.pvcs.map(({ state }) => state),
    ['failed', 'failed'],
  );
  writeFileSync(join(made.folder, 'file'), '');
  const more = await runRestore(plan, ['--scratch', join(made.folder, 'file')]);
  t.equal(more.exitCode, 3);
  t.strictSame(
    more.document.problems?.map(({ code }) => code),
    [...(codes ?? []).map((code) => code.split(' ')[1]), 'SCRATCH_UNUSABLE'],
  );
});

test('too little scratch is refused with both numbers', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root')) return;
  const made = await backupOf(t);
  const small = join(made.folder, 'small');
  mkdirSync(small);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', small]);
  try {
    const plan = await planFor(made, 'backup-003', { rootdisk: join(made.folder, 'out.raw') }, { scratch: small });
    const run = await runRestore(plan);
    refused(t, run, 'SCRATCH_FULL', 5);
    const layers = made.checkpoints.reduce((sum, one) => sum + (one.layers[0]?.size ?? 0), 0);
    t.match(run.document.error?.message, new RegExp(`needs .*\\(${layers} bytes\\), .*\\(1048576 bytes\\) available$`));
    t.notOk(existsSync(join(made.folder, 'out.raw')));
  } finally {
    execFileSync('umount', [small]);
  }
});

test('an S3 source that cannot be used', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  const made = await backupOf(t, 2);
  const bucket = await uploadBucket(rgw, made);
  const attempt = async (
    edit: (s3: Record<string, unknown>) => void,
    env: NodeJS.ProcessEnv = rgw.env,
  ): Promise<RestoreRun> => {
    const plan = await planFor(
      made,
      'backup-002',
      { rootdisk: join(made.folder, 'out.raw') },
      {
        s3: { rgw, bucket },
        edit: ({ source }) => edit(source.s3 ?? {}),
      },
    );
    return await runRestore(plan, [], env);
  };
  refused(t, await attempt(() => {}, { AWS_ACCESS_KEY_ID: 'nobody', AWS_SECRET_ACCESS_KEY: 'x' }), 'ACCESS_DENIED', 3);
  refused(t, await attempt(() => {}, { ...rgw.env, AWS_SECRET_ACCESS_KEY: 'wrong' }), 'ACCESS_DENIED', 3);
  const none = { AWS_EC2_METADATA_DISABLED: 'true', HOME: made.folder };
  refused(t, await attempt(() => {}, none), 'ACCESS_DENIED', 3);
  const noBucket = await attempt((s3) => Object.assign(s3, { bucket: 'no-such-bucket' }));
  refused(t, noBucket, 'OBJECT_MISSING', 3);
  t.match(noBucket.document.error?.message, /no-such-bucket/);
  refused(t, await attempt((s3) => Object.assign(s3, { endpoint: 'http://127.0.0.1:1' })), 'SOURCE_UNREACHABLE', 3);
  t.notOk(existsSync(join(made.folder, 'out.raw')));
  t.strictSame(scratchOf(made), []);
});
