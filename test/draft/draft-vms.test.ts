// `plan` for many VMs: which are meant, what the plan says, and every problem of every VM at once.

import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { withSourceAnswer } from '../../src/chain/ask-source.ts';
import { type DraftVmsOptions, draftPlanOfVms } from '../../src/draft/draft-vms.ts';
import { Paths } from '../../src/paths/paths.ts';
import type { Plan } from '../../src/plan/plan.ts';
import { readPlan } from '../../src/plan/read.ts';
import { silentProgress } from '../../src/progress.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { parseVmPattern, type VmPattern } from '../../src/vm-pattern.ts';
import type { Json } from '../helpers/bucket.ts';
import { writeJson } from '../helpers/catalog.ts';
import { type Fleet, makeFleet } from '../helpers/fleet.ts';
import { requires } from '../helpers/requires.ts';

const signal = new AbortController().signal;
const STEPS = [{ disks: { root: 'AB', data: 'C' } }, { disks: { root: 'X-', data: '-' } }];

function patterns(...texts: string[]): VmPattern[] {
  return texts.map((text) => {
    const pattern = parseVmPattern(text);
    if (pattern === undefined) throw new Error(`${text} is no pattern`);
    return pattern;
  });
}

async function draft(directory: string, options: Partial<DraftVmsOptions> = {}, store?: ObjectStore) {
  const source = { kind: 'directory' as const, directory };
  return await draftPlanOfVms(store ?? (await openDirectoryStore({ directory })), {
    source,
    vms: [],
    pvcs: [],
    signal,
    ...options,
  });
}

async function edit(fleet: Fleet, key: string, change: (document: Json) => void): Promise<void> {
  const document = JSON.parse(readFileSync(join(fleet.folder, key), 'utf8'));
  change(document);
  await writeJson(fleet.folder, key, document);
}

async function chainsOf(plan: Plan): Promise<(readonly string[])[]> {
  const options = { plan, env: {}, paths: new Paths(), progress: silentProgress, signal };
  return await withSourceAnswer(options, async ({ disks, problems }) => {
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    return disks.map(({ name, layers }) => [name, ...layers.map(({ object }) => object)]);
  });
}

async function problemsOf(t: Test, work: Promise<unknown>) {
  return await work.then(
    () => t.fail('was not refused') && [],
    (error) => error.problems as { code: string; message: string; pvc?: string }[],
  );
}

test('a plan of many VMs', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const fleet = await makeFleet(t, 12, STEPS);
  const { folder, vms } = fleet;

  await t.test('every VM of a backup, and the plan is read back alike', async (t) => {
    const { plan, yaml } = await draft(folder, { backup: 'b1' });
    t.equal(plan.backup, 'b1');
    t.equal(plan.vm, undefined);
    t.strictSame(
      plan.pvcs.map(({ name }) => name).toSorted(),
      vms.flatMap(({ namespace, name }) => ['root', 'data'].map((disk) => `${namespace}/${name}/${disk}`)).toSorted(),
    );
    t.match(yaml, /^# Restores 12 VMs as of backup b1: 24 disks\.\n/);
    t.match(
      plan.pvcs.find(({ name }) => name === 'team-1/vm-11/root'),
      {
        disk: 'root',
        vm: { namespace: 'team-1', name: 'vm-11' },
        claimName: 'vm-11-pvc-root',
        target: '/dev/REPLACE-ME-team-1/vm-11/root',
      },
    );
    t.strictSame(await readPlan({ text: yaml, cwd: '/' }), plan);
    const written = await chainsOf(plan);
    const lookedUp = plan.pvcs.map(({ chain: _, ...pvc }) => pvc);
    const [first, ...rest] = lookedUp;
    if (first === undefined) throw new Error('no PVC');
    t.strictSame(await chainsOf({ ...plan, pvcs: [first, ...rest] }), written, 'looked up, they are the same');
  });

  await t.test('the newest backup of each VM that a pattern matches', async (t) => {
    const { plan } = await draft(folder, { vms: patterns('team-1/*', 'team-0/vm-3') });
    t.equal(plan.backup, undefined);
    t.strictSame(
      plan.pvcs.map(({ name, backup }) => [name, backup]),
      ['team-0/vm-3', 'team-1/vm-10', 'team-1/vm-11'].flatMap((vm) => [
        [`${vm}/root`, 'b2'],
        [`${vm}/data`, 'b2'],
      ]),
    );
  });

  await t.test('one VM that a pattern matches has a plan of one VM', async (t) => {
    const { plan, yaml } = await draft(folder, { vms: patterns('team-1/vm-?1') });
    t.match(plan, { vm: { namespace: 'team-1', name: 'vm-11' }, backup: 'b2' });
    t.strictSame(
      plan.pvcs.map(({ name, target, vm, backup }) => [name, target, vm, backup]),
      [
        ['root', '/dev/REPLACE-ME-root', undefined, undefined],
        ['data', '/dev/REPLACE-ME-data', undefined, undefined],
      ],
    );
    t.match(yaml, /^# Restores team-1\/vm-11 as of backup b2 \(checkpoint /);
    t.strictSame(await readPlan({ text: yaml, cwd: '/' }), plan);
  });

  await t.test('disks that are named, with their targets', async (t) => {
    const pvcs = [{ name: 'team-0/vm-1/root', target: '/dev/a' }, { name: 'team-0/vm-2/data' }];
    const { plan } = await draft(folder, { backup: 'b2', pvcs });
    t.strictSame(
      plan.pvcs.map(({ name, target }) => [name, target]),
      [
        ['team-0/vm-1/root', '/dev/a'],
        ['team-0/vm-2/data', '/dev/REPLACE-ME-team-0/vm-2/data'],
      ],
    );
    const wrong = [{ name: 'root' }, { name: 'team-9/vm/root' }, { name: 'team-0/vm-1/swap' }];
    t.match(await problemsOf(t, draft(folder, { backup: 'b2', pvcs: wrong })), [
      { code: 'USAGE', message: '--pvc root: names no VM, and there are several' },
      { code: 'USAGE', message: '--pvc team-9/vm/root: VM team-9/vm is not selected' },
      { code: 'BACKUP_NOT_FOUND', pvc: 'team-0/vm-1/swap' },
    ]);
    t.match(await problemsOf(t, draft(folder, { vms: patterns('team-1/vm-?1'), pvcs: [{ name: 'root' }] })), [
      { message: '--pvc root: names no VM; team-1/vm-11 is selected', hint: 'use --pvc team-1/vm-11/DISK=TARGET' },
    ]);
  });

  await t.test('each document is read once', async (t) => {
    const store = await openDirectoryStore({ directory: folder });
    for (const options of [{ backup: 'b2' }, { vms: patterns('*/*') }]) {
      const reads = new Map<string, number>();
      const counted: ObjectStore = {
        ...store,
        description: store.description,
        describe: (key) => store.describe(key),
        list: (...args) => store.list(...args),
        head: (...args) => store.head(...args),
        start: (...args) => store.start(...args),
        read: (...args) => store.read(...args),
        close: () => store.close(),
        get: (key, ...args) => {
          reads.set(key, (reads.get(key) ?? 0) + 1);
          return store.get(key, ...args);
        },
      };
      await draft(folder, options, counted);
      t.strictSame(
        [...reads].filter(([, count]) => count > 1),
        [],
      );
      const manifests = [...reads.keys()].filter((key) => key.startsWith('manifests/'));
      t.ok(manifests.length <= 2 + vms.length, `${manifests.length} manifests for ${vms.length} VMs`);
    }
  });

  await t.test('without documents of the backup, the indexes say which VMs it holds', async (t) => {
    const lost = await makeFleet(t, 3, STEPS);
    await rm(join(lost.folder, 'manifests'), { recursive: true });
    await edit(lost, 'checkpoints/team-0/vm-1/index.json', ({ checkpoints }) => {
      for (const checkpoint of checkpoints) checkpoint.referencedBy = ['b9'];
    });
    const { plan } = await draft(lost.folder, { backup: 'b2' });
    t.strictSame([...new Set(plan.pvcs.map(({ vm }) => vm?.name))], ['vm-0', 'vm-2']);
    await writeJson(lost.folder, 'checkpoints/team-0/gone/index.json', {
      vmName: 'gone',
      namespace: 'team-0',
      checkpoints: [],
    });
    const all = await draft(lost.folder, { vms: patterns('*/*') });
    t.strictSame([...new Set(all.plan.pvcs.map(({ backup }) => backup))], ['b2', 'b9']);
  });

  await t.test('all that is wrong, VM by VM', async (t) => {
    const bad = await makeFleet(t, 4, STEPS);
    await rm(join(bad.folder, bad.object({ namespace: 'team-0', name: 'vm-1' }, 1, 'root')));
    await rm(join(bad.folder, 'checkpoints/team-0/vm-2'), { recursive: true });
    const named = patterns('team-0/vm-*', 'team-0/nope', 'other/*');
    t.match(await problemsOf(t, draft(bad.folder, { backup: 'b2', vms: named })), [
      { code: 'BACKUP_NOT_FOUND', message: /no VM matches other\/\* in backup b2/ },
      { code: 'BACKUP_NOT_FOUND', message: /VM team-0\/nope not found/ },
      { code: 'OBJECT_MISSING', pvc: 'team-0/vm-1/root' },
      { code: 'BACKUP_NOT_FOUND', message: /team-0\/vm-2/ },
    ]);
    t.match(await problemsOf(t, draft(bad.folder, { vms: patterns('team-0/vm-2', 'team-0/vm-0') })), [
      { message: /team-0\/vm-2/ },
    ]);
  });

  await t.test('what cannot be restored is skipped on request, and named', async (t) => {
    const bad = await makeFleet(t, 4, STEPS);
    await rm(join(bad.folder, bad.object({ namespace: 'team-0', name: 'vm-1' }, 1, 'root')));
    await rm(join(bad.folder, 'checkpoints/team-0/vm-2'), { recursive: true });
    t.match(await problemsOf(t, draft(bad.folder, { backup: 'b2', skipBroken: false })), [
      { hint: /; to plan everything else, add --skip-broken$/ },
      {},
    ]);
    const { plan, yaml, problems } = await draft(bad.folder, { backup: 'b2', skipBroken: true });
    t.strictSame(
      plan.pvcs.map(({ name }) => name),
      ['team-0/vm-0/root', 'team-0/vm-0/data', 'team-0/vm-1/data', 'team-0/vm-3/root', 'team-0/vm-3/data'],
    );
    t.match(problems, [
      { code: 'OBJECT_MISSING', pvc: 'team-0/vm-1/root' },
      { code: 'BACKUP_NOT_FOUND', message: /team-0\/vm-2/ },
    ]);
    t.match(yaml, /^# INCOMPLETE: this plan does not restore\n# {3}team-0\/vm-1\/root: .*\n# {3}.*team-0\/vm-2/m);
    t.strictSame(await readPlan({ text: yaml, cwd: '/' }), plan);
    const one = await draft(bad.folder, { vms: patterns('team-0/vm-1'), skipBroken: true });
    t.match(one.plan, { vm: { name: 'vm-1' }, pvcs: [{ name: 'data' }] });
    const nothing = { vms: patterns('team-0/vm-2'), skipBroken: true };
    t.match(await problemsOf(t, draft(bad.folder, nothing)), [{ message: /team-0\/vm-2/ }], 'nothing is left');
    const wrong = { backup: 'b2', skipBroken: true, pvcs: [{ name: 'nope' }] };
    t.match(await problemsOf(t, draft(bad.folder, wrong)), [{ code: 'USAGE' }], 'a wrong flag is not skipped');
  });

  t.match(await problemsOf(t, draft(folder, { backup: 'nope' })), [
    { code: 'BACKUP_NOT_FOUND', message: /backup nope not found in .*; found: b1, b2/ },
  ]);
});
