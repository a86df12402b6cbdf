import { cp, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { resolveDisks } from '../../src/chain/resolve.ts';
import { type DraftOptions, draftPlan } from '../../src/draft/draft-plan.ts';
import { commandLine } from '../../src/inventory/command-line.ts';
import { readPlan } from '../../src/plan/read.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { KiB, MiB } from '../../src/units.ts';
import { type IndexDocument, put, writeJson } from '../helpers/catalog.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const FIXTURE = fileURLToPath(new URL('../../fixtures/bucket', import.meta.url));
const signal = new AbortController().signal;

async function draft(directory: string, options: Partial<DraftOptions> = {}) {
  const store = await openDirectoryStore({ directory });
  const vm = { namespace: 'demo', name: 'web' };
  return await draftPlan(store, { source: { kind: 'directory', directory }, vm, pvcs: [], signal, ...options });
}

async function copy(t: Test): Promise<string> {
  const folder = join(tempFolder(t), 'bucket');
  await cp(FIXTURE, folder, { recursive: true });
  return folder;
}

const root = (checkpoint: string): string => `checkpoints/demo/web/cp-${checkpoint}/vmb-${checkpoint}-rootdisk.qcow2`;

test('with nothing said it is the newest backup, all disks, and targets to be filled in', async (t) => {
  const { plan, yaml } = await draft(FIXTURE);
  t.match(plan, {
    backup: 'backup-004',
    vm: { namespace: 'demo', name: 'web' },
    pvcs: [
      { name: 'rootdisk', target: '/dev/REPLACE-ME-rootdisk', size: 64 * MiB },
      { name: 'datadisk', target: '/dev/REPLACE-ME-datadisk', size: 32 * MiB },
    ],
  });
  t.strictSame(
    plan.pvcs[0].chain?.map(({ checkpoint, type, parent, object }) => [checkpoint, type, parent, object]),
    [
      ['cp-001', 'full', undefined, root('001')],
      ['cp-002', 'incremental', 'cp-001', root('002')],
      ['cp-003', 'incremental', 'cp-002', root('003')],
      ['cp-004', 'incremental', 'cp-003', root('004')],
    ],
  );
  t.match(
    yaml,
    /^# Restores demo\/web as of backup backup-004 \(checkpoint cp-004, 2025-11-04T02:00:00Z\): 2 disks\.\n/,
  );
  t.match(yaml, /\n# Replace each target/);
  t.match(yaml, /\n {2}# rootdisk \(PVC web-rootdisk\): a disk of 64\.0 MiB, .* in 4 layers\n/);
});

test('the plan that is written is the plan, and resolves to what the bucket says', async (t) => {
  const store = await openDirectoryStore({ directory: FIXTURE });
  for (const backup of ['backup-001', 'backup-002', 'backup-003', 'backup-004']) {
    const pvcs = [
      { name: 'web-datadisk', target: '/dev/b' },
      { name: 'rootdisk', target: '/dev/a' },
    ];
    const { plan, yaml } = await draft(FIXTURE, { backup, pvcs, scratch: { path: '/scratch', headroomPercent: 30 } });
    const read = await readPlan({ text: yaml, cwd: '/' });
    t.strictSame(read, plan);
    const { source, vm } = read;
    const names = [
      { name: 'web-datadisk', target: '/dev/b' },
      { name: 'rootdisk', target: '/dev/a' },
    ] as const;
    const lookedUp = await resolveDisks(
      { version: 1, source, backup, pvcs: names, ...(vm === undefined ? {} : { vm }) },
      store,
      { signal },
    );
    const written = await resolveDisks(read, store, { signal });
    t.strictSame(
      written.disks.map(({ layers }) => layers),
      lookedUp.disks.map(({ layers }) => layers),
    );
  }
});

test('scratch is told for each strategy, of the largest disk', async (t) => {
  const { yaml, plan } = await draft(FIXTURE);
  const layers = (plan.pvcs[0].chain ?? []).reduce((sum, { size = 0 }) => sum + size, 0);
  const staged = ((layers * 1.15) / MiB).toFixed(2);
  t.match(yaml, `#   --strategy staged      ${staged} MiB (in Kubernetes, a PVC of 1Gi)\n`);
  t.match(
    yaml,
    `#   --strategy staged-raw  ${(((layers + 64 * MiB) * 1.15) / MiB).toFixed(1)} MiB (in Kubernetes, a PVC of 1Gi)\n`,
  );
  t.match(yaml, '#   --strategy stream      none\n');
});

test('how to run it is said as it can be typed, and what raw files take besides scratch', async (t) => {
  const devices = await draft(FIXTURE);
  t.match(devices.yaml, '\n# Run it with: kubevirt-datamover restore PLAN --scratch DIR (add --dry-run to check');
  t.notMatch(devices.yaml, /Raw files/);
  const pvcs = [
    { name: 'rootdisk', target: '/tmp/root.raw' },
    { name: 'datadisk', target: '/tmp/data.img' },
  ];
  const files = await draft(FIXTURE, { pvcs, scratch: { path: '/scratch' } });
  t.match(files.yaml, '\n# Run it with: kubevirt-datamover restore PLAN (add --dry-run to check');
  t.match(
    files.yaml,
    /\n# Target files also need up to their disk's size, .*: rootdisk 64\.0 MiB, datadisk 32\.0 MiB\.\n/,
  );
});

test('a checkpoint is restored without its backup', async (t) => {
  const folder = await copy(t);
  await rm(join(folder, 'manifests'), { recursive: true });
  const { plan, yaml } = await draft(folder, { checkpoint: 'cp-002', pvcs: [{ name: 'rootdisk', target: '/dev/a' }] });
  t.equal(plan.backup, undefined);
  t.equal(plan.pvcs[0].chain?.length, 2);
  t.match(yaml, /^# Restores demo\/web as of checkpoint cp-002, 2025-11-02T02:00:00Z: 1 disk\.\n/);
  t.strictSame(await readPlan({ text: yaml, cwd: '/' }), plan);
});

test('what is missing or was cut is told, with what is lost', async (t) => {
  const folder = await copy(t);
  await rm(join(folder, root('003')));
  await t.rejects(draft(folder), {
    code: 'OBJECT_MISSING',
    hint: /affected backups of disk rootdisk: backup-003, backup-004; still restorable: backup-001, backup-002/,
    problems: [{ pvc: 'rootdisk' }],
  });
  t.equal((await draft(folder, { backup: 'backup-002' })).plan.pvcs.length, 2);
  t.equal((await draft(folder, { pvcs: [{ name: 'datadisk', target: '/dev/a' }] })).plan.backup, 'backup-004');
  const other = await copy(t);
  await truncate(join(other, root('001')), 64 * KiB);
  await t.rejects(draft(other, { backup: 'backup-002' }), {
    code: 'SIZE_MISMATCH',
    hint: /affected backups of disk rootdisk: backup-001, backup-002, backup-003, backup-004; no other backup can be restored/,
  });
});

/** A copy of the bucket whose index is changed. */
async function copyWith(t: Test, change: (index: IndexDocument) => void): Promise<string> {
  const folder = await copy(t);
  const path = 'checkpoints/demo/web/index.json';
  const index = JSON.parse(await readFile(join(folder, path), 'utf8'));
  change(index);
  await writeJson(folder, path, index);
  return folder;
}

const unreferenced = ({ checkpoints }: IndexDocument): void => {
  for (const checkpoint of checkpoints) checkpoint.referencedBy = [];
};

test('a tip that was cut out of the index is rebuilt; one whose layers are gone too is reported', async (t) => {
  const folder = await copyWith(t, ({ checkpoints }) => checkpoints.pop());
  const rebuilt = await draft(folder);
  t.equal(rebuilt.plan.backup, 'backup-004');
  const chains = ({ plan }: Awaited<ReturnType<typeof draft>>): unknown =>
    Object.fromEntries(plan.pvcs.map(({ name, chain }) => [name, chain]));
  t.strictSame(chains(rebuilt), chains(await draft(await copy(t))));
  t.match(rebuilt.yaml, /order proven by a manifest/);
  await rm(join(folder, 'checkpoints/demo/web/cp-004'), { recursive: true });
  for (const pvcs of [[], [{ name: 'rootdisk', target: '/dev/a' }]]) {
    await t.rejects(draft(folder, { pvcs }), {
      code: 'CHAIN_BROKEN',
      message: /checkpoint cp-004 not found in the index .*, but the backup's manifest lists it/,
      hint: /list/,
    });
  }
  const own = await copyWith(t, ({ checkpoints }) => {
    checkpoints.pop();
    for (const checkpoint of checkpoints) checkpoint.referencedBy = [checkpoint.id.replace('cp', 'backup')];
  });
  await rm(join(own, 'checkpoints/demo/web/cp-004'), { recursive: true });
  await t.rejects(draft(own), { code: 'CHAIN_BROKEN', message: /cp-004/ }, 'an older state is not restored unasked');
  t.equal((await draft(own, { backup: 'backup-003' })).plan.pvcs[0].chain?.length, 3);
});

test('without references in the index the manifests say which backup is the newest, and what is lost', async (t) => {
  const folder = await copyWith(t, unreferenced);
  t.equal((await draft(folder)).plan.backup, 'backup-004');
  await t.rejects(draft(folder, { backup: 'backup-04' }), {
    code: 'BACKUP_NOT_FOUND',
    message: /its backups: backup-001, backup-002, backup-003, backup-004/,
    hint: /did you mean backup-004/,
  });
  await rm(join(folder, root('003')));
  await t.rejects(draft(folder), {
    code: 'OBJECT_MISSING',
    hint: /affected backups of disk rootdisk: backup-003, backup-004; still restorable: backup-001, backup-002/,
  });
  await put(folder, 'manifests/backup-004/demo-web.json', Buffer.from('garbage'));
  await t.rejects(draft(folder), { code: 'METADATA_INVALID', message: /backup-004/ }, 'it may be the newest');
  await rm(join(folder, 'manifests'), { recursive: true });
  await t.rejects(draft(folder), { code: 'BACKUP_NOT_FOUND', hint: /--checkpoint=cp-004/ });
  await t.rejects(draft(folder, { checkpoint: 'cp-004' }), {
    code: 'OBJECT_MISSING',
    hint: /the affected backups are unknown; .*: cp-003, cp-004; still restorable: cp-001, cp-002/,
  });
});

test('a damaged manifest is no dead end', async (t) => {
  const folder = await copy(t);
  for (const damaged of ['garbage', '{"namespace":"demo"}']) {
    await put(folder, 'manifests/backup-004/demo-web.json', Buffer.from(damaged));
    await t.rejects(draft(folder, { backup: 'backup-004' }), {
      code: 'METADATA_INVALID',
      message: /backup-004\/demo-web\.json/,
      hint: /without this manifest: kubevirt-datamover plan --source=\S+ --vm=demo\/web --checkpoint=cp-004; or compare it/,
    });
  }
  t.equal((await draft(folder, { checkpoint: 'cp-004' })).plan.pvcs[0].chain?.length, 4);
});

test('a call that is wrong is told', async (t) => {
  const [a, b] = [
    { name: 'rootdisk', target: '/dev/a' },
    { name: 'datadisk', target: '/dev/b' },
  ];
  const cases: [Partial<DraftOptions>, string, RegExp][] = [
    [{ backup: 'backup-001', checkpoint: 'cp-001' }, 'USAGE', /--backup cannot be combined with --checkpoint/],
    [{ backup: 'backup-005' }, 'BACKUP_NOT_FOUND', /its backups: backup-001, backup-002, backup-003, backup-004/],
    [{ checkpoint: 'cp-005' }, 'BACKUP_NOT_FOUND', /it lists cp-001, cp-002, cp-003, cp-004/],
    [{ vm: { namespace: 'demo', name: 'wbe' } }, 'BACKUP_NOT_FOUND', /found: demo\/web/],
    [{ vm: { namespace: '..', name: 'web' } }, 'USAGE', /is a reserved name/],
    [{ pvcs: [a, { name: 'web-rootdisk', target: '/dev/c' }] }, 'USAGE', /are the same disk/],
    [{ pvcs: [a, { ...b, target: '/dev/a' }] }, 'USAGE', /are the same target/],
    [
      { pvcs: [{ ...a, name: 'rotdisk' }, b] },
      'BACKUP_NOT_FOUND',
      /has no disk rotdisk: it holds rootdisk \(PVC web-rootdisk\), datadisk/,
    ],
  ];
  for (const [options, code, message] of cases) await t.rejects(draft(FIXTURE, options), { code, message });
});

test('a VM without manifests of its own is in the backups whose indexes name it; without those, the hint can be typed', async (t) => {
  const folder = await copy(t);
  const path = 'checkpoints/demo/web/index.json';
  const index: IndexDocument = JSON.parse(await readFile(join(folder, path), 'utf8'));
  for (const checkpoint of index.checkpoints) checkpoint.referencedBy = [];
  await writeJson(folder, path, index);
  const backups = ['backup-001', 'backup-002', 'backup-003', 'backup-004'];
  for (const backup of backups) await rm(join(folder, `manifests/${backup}/demo-web.json`));
  t.equal((await draft(folder)).plan.backup, 'backup-004');
  await rm(join(folder, 'manifests'), { recursive: true });
  const found = await sharedCli(['plan', `--source=${folder}`, '--vm=demo/web', '--output=json']);
  t.equal(found.exitCode, 3);
  const { message, hint } = JSON.parse(found.stdout).error;
  t.match(
    message,
    /^no backup contains VM demo\/web: neither its index nor manifests\/ names one; its checkpoints: cp-001/,
  );
  const [, command = ''] = /^restore a checkpoint: kubevirt-datamover (.*)$/.exec(hint) ?? [];
  const typed = await sharedCli(command.split(' '));
  t.equal(typed.exitCode, 0, hint);
  t.match(typed.stdout, /^# Restores demo\/web as of checkpoint cp-004/);
});

test('hints name the source as it was given', async (t) => {
  const store = {
    ...(await openDirectoryStore({ directory: FIXTURE })),
    sourceFlags: ['--source=s3://b/p', '--endpoint=https://s3.example', '--path-style'],
  };
  t.equal(
    commandLine(store, 'rebuild-index', '--vm=demo/web'),
    'kubevirt-datamover rebuild-index --source=s3://b/p --endpoint=https://s3.example --path-style --vm=demo/web',
  );
  const odd = { ...store, sourceFlags: ["--source=/a b/it's"] };
  t.equal(commandLine(odd, 'list'), `kubevirt-datamover list '--source=/a b/it'\\''s'`);
  const vm = { namespace: 'demo', name: 'nope' };
  const options = { source: { kind: 'directory', directory: FIXTURE } as const, pvcs: [], signal };
  await t.rejects(draftPlan(store, { ...options, vm: { namespace: 'x', name: 'y' } }), {
    code: 'BACKUP_NOT_FOUND',
    hint: 'run `kubevirt-datamover list --source=s3://b/p --endpoint=https://s3.example --path-style` to see all VMs',
  });
  await t.rejects(draftPlan(store, { ...options, vm }), { code: 'BACKUP_NOT_FOUND', message: /found: demo\/web/ });
});
