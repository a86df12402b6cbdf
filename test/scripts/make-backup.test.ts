// The maker of backups is what every other test believes, so it is judged by qemu-img and cmp alone.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { parseCall } from '../../scripts/lib/make-backup/arguments.ts';
import { chainOf, makeBackup } from '../../scripts/lib/make-backup/make.ts';
import type { BackupShape, MadeBackup, MadeLayer } from '../../scripts/lib/make-backup/shape.ts';
import { GiB, KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, madeBackup, planFor, sha256Of } from '../helpers/backup.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SMALL = { name: 'rootdisk', size: 8 * MiB, changes: { bytes: MiB } };

const SHAPES: readonly (readonly [string, BackupShape])[] = [
  ['a full alone', { disks: [SMALL], checkpoints: 1 }],
  ['nine incrementals', { disks: [SMALL], checkpoints: 10 }],
  ['two disks in runs of 1 MiB', { disks: [SMALL, { ...SMALL, name: 'b', changes: { bytes: MiB, pattern: 'runs' } }] }],
  ['zeroes and discards', { disks: [{ ...SMALL, changes: { bytes: MiB, zero: MiB, discard: MiB } }] }],
  ['a disk that grows twice', { disks: [{ ...SMALL, resize: { 2: 12 * MiB, 4: 13 * MiB + 512 } }] }],
  ['a size that is no whole cluster', { disks: [{ ...SMALL, size: 8 * MiB + 1536 }] }],
  ['a file system', { disks: [{ name: 'rootdisk', size: 16 * MiB, fileSystem: true }] }],
  ['a new full each third', { disks: [SMALL], checkpoints: 7, fullEvery: 3 }],
];

const FORMATS: readonly (readonly [string, BackupShape])[] = [
  ['clusters of 512 bytes', { disks: [{ ...SMALL, clusterSize: 512 }] }],
  ['clusters of 2 MiB', { disks: [{ ...SMALL, clusterSize: 2 * MiB }] }],
  ['qcow2 version 2', { disks: [{ ...SMALL, compat: '0.10' }] }],
  ['extended L2 entries', { disks: [{ ...SMALL, extendedL2: true }] }],
  ['compressed clusters', { disks: [{ ...SMALL, compressed: true }] }],
  [
    'layers that differ in format',
    { disks: [{ ...SMALL, formats: { 2: { compat: '0.10' }, 3: { compressed: true } } }] },
  ],
  ['a large disk, almost empty', { disks: [{ ...SMALL, size: 100 * GiB, initial: { bytes: MiB } }], checkpoints: 2 }],
];

const HISTORIES: readonly (readonly [string, BackupShape])[] = [
  ...SHAPES,
  ['twenty incrementals', { disks: [SMALL], checkpoints: 21 }],
  [
    'a chain of two cluster sizes',
    { disks: [{ ...SMALL, clusterSize: 64 * KiB, formats: { 3: { clusterSize: 256 * KiB } } }] },
  ],
  ...[...SHAPES, ...FORMATS].map(
    ([name, shape]) => [`${name}, by another writer`, { ...shape, like: 'other' }] as const,
  ),
];

for (const [name, shape] of HISTORIES) {
  test(`each backup of a history restores the true disk: ${name}`, async (t) => {
    if (!requires(t, ...BACKUP_TOOLS, 'mkfs.ext4', 'debugfs')) return;
    const made = await madeBackup(t, shape);
    const pairs = made.checkpoints.flatMap(({ backup, layers }) =>
      layers.map(({ disk, truth }) => ({ name: `${backup} ${disk}`, chain: chainOf(made, backup, disk), truth })),
    );
    for (const [index, said] of compareChains(t, pairs).entries()) {
      t.equal(said, 'Images are identical.', pairs[index]?.name ?? '');
    }
  });
}

/**
 * What qemu-img says of each chain and its true disk. It compares copies that are rebased as the format wants it: each layer once,
 * for the chains of a history differ in their tips alone. One shell does it all: a process starts the slower the larger its parent is.
 */
function compareChains(
  t: Test,
  pairs: readonly { readonly chain: readonly MadeLayer[]; readonly truth: string }[],
): string[] {
  const folder = tempFolder(t);
  const copies = new Map<MadeLayer, string>();
  const commands: string[] = [];
  for (const { chain, truth } of pairs) {
    let tip = '';
    for (const layer of chain) {
      const copy = copies.get(layer) ?? join(folder, `${copies.size}.qcow2`);
      if (!copies.has(layer)) {
        cpSync(layer.path, copy);
        if (tip !== '') commands.push(`qemu-img rebase -u -f qcow2 -F qcow2 -b ${tip} ${copy}`);
        copies.set(layer, copy);
      }
      tip = copy;
    }
    // It exits other than 0 where they differ, which is for the test to say.
    commands.push(`qemu-img compare -f qcow2 -F raw ${tip} ${truth} || true; echo --`);
  }
  const said = execFileSync('sh', ['-euc', commands.join('\n')], { encoding: 'utf8' }).split('--\n');
  t.equal(said.pop(), '');
  t.equal(said.length, pairs.length);
  return said.map((text) => text.trim());
}

test('a layer has the format that was asked for', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const formats = {
    2: { compat: '0.10' as const, clusterSize: 4 * KiB },
    3: { extendedL2: true },
    4: { backing: '/var/run/x' },
  };
  const made = await madeBackup(t, { like: 'other', disks: [{ ...SMALL, formats }] });
  const infos = made.checkpoints.map(({ layers }) => infoOf(layers[0]?.path ?? ''));
  t.match(infos[0], { 'cluster-size': 64 * KiB, 'virtual-size': 8 * MiB });
  t.match(infos[1], { 'cluster-size': 4 * KiB, 'format-specific': { data: { compat: '0.10' } } });
  t.match(infos[2], { 'format-specific': { data: { 'extended-l2': true } } });
  t.equal(infos[2]?.['backing-filename'], undefined, 'no backing file is recorded where none was asked for');
  t.equal(infos[3]?.['backing-filename'], '/var/run/x');
});

const INFO = z.looseObject({ 'backing-filename': z.string().optional() });

function infoOf(path: string): z.infer<typeof INFO> {
  return INFO.parse(JSON.parse(execFileSync('qemu-img', ['info', '-U', '--output=json', path], { encoding: 'utf8' })));
}

test('the same shape gives the same disks, another seed others', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfs.ext4', 'debugfs')) return;
  const shape = { disks: [SMALL, { name: 'b', size: 8 * MiB, fileSystem: true }], checkpoints: 2 } as const;
  const [one, same, other] = await Promise.all([
    freshBackup(t, shape),
    freshBackup(t, shape),
    freshBackup(t, { ...shape, seed: 'another' }),
  ]);
  t.strictSame(await sums(same), await sums(one));
  const different = await sums(other);
  for (const [index, sum] of (await sums(one)).entries()) t.not(different[index], sum);
});

/** Tests share what `madeBackup` has made of a shape. */
async function freshBackup(t: Test, shape: BackupShape): Promise<MadeBackup> {
  const folder = tempFolder(t);
  return await makeBackup(shape, { bucket: join(folder, 'a bucket, ours'), truth: join(folder, 'truth, of old') });
}

async function sums(made: MadeBackup): Promise<string[]> {
  return Promise.all(made.checkpoints.flatMap(({ layers }) => layers.map(({ truth }) => sha256Of(truth))));
}

test('zeroes in an incremental of version 2 are refused, since QEMU would lose them', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const disk = { ...SMALL, compat: '0.10', changes: { zero: MiB } } as const;
  await t.rejects(madeBackup(t, { like: 'other', disks: [disk] }), {
    message: /rootdisk: an incremental of compat 0\.10 cannot hold zeroes/,
  });
});

test('a disk added later has a full layer at an incremental checkpoint', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [SMALL, { ...SMALL, name: 'later', from: 3 }] });
  t.strictSame(
    made.checkpoints.map(({ type, layers }) => [type, layers.map((layer) => `${layer.disk} ${layer.type}`)]),
    [
      ['full', ['rootdisk full']],
      ['incremental', ['rootdisk incremental']],
      ['incremental', ['rootdisk incremental', 'later full']],
      ['incremental', ['rootdisk incremental', 'later incremental']],
    ],
  );
  const chain = chainOf(made, 'backup-004', 'later');
  t.strictSame(compareChains(t, [{ chain, truth: chain.at(-1)?.truth ?? '' }]), ['Images are identical.']);
});

test('the documents are the ones that the operator writes', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, {
    disks: [{ ...SMALL, name: 'datadisk-1', pvc: 'my-claim' }],
    checkpoints: 3,
    fullEvery: 2,
    prefix: 'velero-kubevirt-datamover',
    diskNames: 'cut',
  });
  const folder = join(made.bucket, 'velero-kubevirt-datamover');
  const index = read(join(folder, 'checkpoints/demo/web/index.json'));
  const [first, second, third] = made.checkpoints.map(({ id }) => id);
  t.strictSame(
    [first, second, third],
    ['vmb-001-2025-11-01_02-00-00', 'vmb-002-2025-11-02_02-00-00', 'vmb-003-2025-11-03_02-00-00'],
  );
  t.match(index, { vmName: 'web', namespace: 'demo', checkpoints: { length: 3 } });
  t.match(index, {
    checkpoints: {
      1: {
        id: second,
        type: 'incremental',
        parent: first,
        vmBackup: 'vmb-002',
        files: [
          {
            filename: 'vmb-002-datadisk-1.qcow2',
            diskName: '1',
            size: made.checkpoints[1]?.layers[0]?.size,
            objectPath: `checkpoints/demo/web/${second}/vmb-002-datadisk-1.qcow2`,
          },
        ],
        pvcs: ['my-claim'],
        pvcSizes: ['8Mi'],
        referencedBy: ['backup-002'],
      },
      2: { id: third, type: 'full' },
    },
  });
  t.match(read(join(folder, 'manifests/backup-002/index.json')), {
    backupName: 'backup-002',
    vms: [{ name: 'web', namespace: 'demo', checkpointId: second, manifestPath: 'manifests/backup-002/demo-web.json' }],
  });
  t.match(read(join(folder, 'manifests/backup-002/demo-web.json')), {
    namespace: 'demo',
    name: 'web',
    checkpointChain: [first, second],
  });
  t.match(read(join(folder, `checkpoints/demo/web/${second}/vmb.json`)), {
    kind: 'VirtualMachineBackup',
    metadata: { name: 'vmb-002', namespace: 'demo', creationTimestamp: '2025-11-02T02:00:00Z' },
    status: {
      type: 'Incremental',
      checkpointName: second,
      includedVolumes: [{ volumeName: 'datadisk-1' }],
      conditions: [
        { type: 'Progressing', status: 'False' },
        { type: 'Quiesced', status: 'True' },
        { type: 'Complete', status: 'True' },
      ],
    },
  });
  const forced = [first, second, third].map((id) => read(join(folder, `checkpoints/demo/web/${id}/vmb.json`)));
  t.match(forced, [{ status: { type: 'Full' } }, {}, { spec: { forceFullBackup: true }, status: { type: 'Full' } }]);
  t.notMatch(forced, [{ spec: { forceFullBackup: true } }], 'the first full is not forced');
  t.match(read(join(folder, `checkpoints/demo/web/${second}/vmbt.json`)), {
    spec: { source: { kind: 'VirtualMachine', name: 'web' } },
    status: { latestCheckpoint: { name: second, volumes: [{ volumeName: 'datadisk-1' }] } },
  });
});

test('the published shape of the documents: bare file names, manifest named after the VM', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [SMALL], checkpoints: 1, files: 'names', manifestName: 'vm' });
  t.match(read(join(made.directory, 'checkpoints/demo/web/index.json')), {
    checkpoints: [{ files: ['vmb-001-rootdisk.qcow2'] }],
  });
  t.match(read(join(made.directory, 'manifests/backup-001/web.json')), { name: 'web', namespace: 'demo' });
});

test('a second VM joins the backups of the first', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [SMALL], checkpoints: 1 });
  await makeBackup(
    { disks: [SMALL], vm: 'db', checkpoints: 1 },
    { bucket: made.bucket, truth: join(made.folder, 'db') },
  );
  t.match(read(join(made.directory, 'manifests/backup-001/index.json')), { vms: [{ name: 'web' }, { name: 'db' }] });
});

test('of large disks only the last true state may be kept', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const folder = tempFolder(t);
  const truth = join(folder, 'truth');
  await makeBackup({ disks: [SMALL], checkpoints: 3 }, { bucket: join(folder, 'bucket'), truth, keep: 'last' });
  t.strictSame(readdirSync(truth), ['vmb-003-2025-11-03_02-00-00']);
});

test('an aborted making rejects and leaves no live disk', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const folder = tempFolder(t);
  const stop = new AbortController();
  const options = { bucket: join(folder, 'bucket'), truth: join(folder, 'truth'), signal: stop.signal };
  const making = makeBackup({ disks: [{ ...SMALL, size: 64 * MiB }], checkpoints: 40 }, options);
  const other = freshBackup(t, { disks: [SMALL] }).finally(() => stop.abort());
  await t.rejects(making, { name: 'AbortError' });
  await other;
  t.notOk(readdirSync(options.truth).some((name) => name.startsWith('.live')));
});

function read(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

test('a plan for a made backup writes its chains out, or leaves them to be found', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: [SMALL], checkpoints: 2 });
  const written = readFileSync(await planFor(made, 'backup-002', { rootdisk: '/dev/x' }, { sha256: true }), 'utf8');
  const [first, second] = made.checkpoints.map(({ id }) => id);
  t.match(written, new RegExp(`checkpoint: ${second}\\n\\s+type: incremental\\n\\s+parent: ${first}`));
  t.match(written, `sha256: ${await sha256Of(made.checkpoints[0]?.layers[0]?.path ?? '')}`);
  const found = readFileSync(
    await planFor(made, 'backup-002', { rootdisk: '/dev/x' }, { chains: 'looked-up' }),
    'utf8',
  );
  t.match(found, /backup: backup-002\nvm: demo\/web\n/);
  t.notMatch(found, /chain/);
});

test('the command keeps the true disks and their sums, and leaves no process or folder of its own', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'sha256sum')) return;
  const folder = tempFolder(t);
  const [truth, sumsFile] = [join(folder, 'truth'), join(folder, 'SHA256SUMS')];
  const args = [
    join(folder, 'bucket'),
    '--like',
    'other',
    '--truth',
    truth,
    '--sums',
    sumsFile,
    '--disk',
    'a=8Mi,data=1Mi,empty=2',
  ];
  const run = spawnSync(join(ROOT, 'scripts/make-backup'), [...args, '--incrementals', '1'], { encoding: 'utf8' });
  t.equal(run.status, 0, run.stderr);
  t.match(run.stdout, /2 backups of demo\/web, 2 layers/);
  t.equal(spawnSync('sha256sum', ['-c', sumsFile], { cwd: truth }).status, 0);
  t.strictSame(readdirSync(truth).sort(), ['cp-001', 'cp-002']);
  t.equal(await difference(join(truth, 'cp-001/a.raw'), join(truth, 'cp-002/a.raw')), undefined);
});

test('a wrong call says what is wrong', async (t) => {
  const calls: readonly (readonly [string[], RegExp])[] = [
    [[], /expected one directory/],
    [['x', '--disk', 'a=64Mi,clster=4Ki'], /no such key: clster/],
    [['x', '--disk', 'a=5'], /expected a multiple of 512 bytes, got "5"/],
    [['x', '--incrementals', 'few'], /--incrementals: expected a number from 0 up, got "few"/],
    [['x', '--like', 'velero'], /--like: expected one of kubevirt, other, got "velero"/],
    [['x', '--disk', 'a=8Mi,compressed'], /a: KubeVirt writes no compressed clusters/],
    [['x', '--disk', 'a=8Mi,cluster=4Ki'], /a: KubeVirt writes no clusters of 4096 bytes/],
    [['x', '--files', 'xml'], /--files: expected one of objects, names/],
    [['x', '--vm', 'web'], /must be NAMESPACE\/NAME/],
  ];
  const folder = tempFolder(t);
  for (const [args, message] of calls) {
    const making = async (): Promise<unknown> => {
      const { shape } = parseCall(args) ?? {};
      return shape && (await makeBackup(shape, { bucket: join(folder, 'bucket'), truth: join(folder, 'truth') }));
    };
    await t.rejects(making, { message });
  }
  // One that the arguments' parser refuses, and one that the writer does.
  for (const [args, message] of [calls[1], calls[5]].filter((call) => call !== undefined)) {
    const run = spawnSync(join(ROOT, 'scripts/make-backup'), args, { encoding: 'utf8', cwd: folder });
    t.equal(run.status, 1);
    t.match(run.stderr, message);
    t.notMatch(run.stderr, /\n\s+at /, 'no stack trace');
  }
  t.strictSame(readdirSync(folder), []);
});

test('the embedded backup restores to the sums beside it', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const bucket = join(ROOT, 'fixtures/bucket');
  const sumLines = readFileSync(join(ROOT, 'fixtures/SHA256SUMS'), 'utf8').trim().split('\n');
  t.equal(sumLines.length, 8);
  const folder = tempFolder(t);
  for (const disk of ['rootdisk', 'datadisk']) {
    for (const number of [1, 2, 3, 4]) {
      const [own, parent] = [`${disk}-${number}.qcow2`, `${disk}-${number - 1}.qcow2`];
      cpSync(join(bucket, `checkpoints/demo/web/cp-00${number}/vmb-00${number}-${disk}.qcow2`), join(folder, own));
      const rebase = ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', parent, own];
      if (number > 1) execFileSync('qemu-img', rebase, { cwd: folder });
      execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', own, 'disk.raw'], { cwd: folder });
      const sum = await sha256Of(join(folder, 'disk.raw'));
      t.ok(sumLines.includes(`${sum}  cp-00${number}/${disk}.raw`), `${disk} at cp-00${number}`);
    }
  }
});
