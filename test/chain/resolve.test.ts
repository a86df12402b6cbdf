import { rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { resolveDisks } from '../../src/chain/resolve.ts';
import { placeholderTarget } from '../../src/plan/placeholder.ts';
import type { Plan, PlanPvc } from '../../src/plan/plan.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { history, put, writeHistory, writeJson } from '../helpers/catalog.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;

async function bucket(t: Test): Promise<string> {
  const folder = tempFolder(t);
  await writeHistory(folder, history('1!root,data 2root,data 3root,data 4!root,data,late 5root,data,late'));
  return folder;
}

function planOf(directory: string, change: Partial<Plan> & { readonly names?: readonly string[] } = {}): Plan {
  const { names = ['root', 'data'], ...rest } = change;
  const [first = { name: 'x', target: '/x' }, ...others] = names.map(
    (name): PlanPvc => ({ name, target: `/dev/${name}` }),
  );
  return {
    version: 1,
    source: { kind: 'directory', directory },
    backup: 'b3',
    vm: { namespace: 'demo', name: 'web' },
    pvcs: [first, ...others],
    ...rest,
  };
}

async function resolve(directory: string, change: Parameters<typeof planOf>[1] = {}, options: object = {}) {
  const store = await openDirectoryStore({ directory });
  return await resolveDisks(planOf(directory, change), store, { signal, ...options });
}

function shown({ disks }: Awaited<ReturnType<typeof resolve>>): string[] {
  return disks.map(({ name, layers }) => `${name}: ${layers.map(({ checkpoint }) => checkpoint.slice(3)).join(' ')}`);
}

test('chains are found in the bucket, for every backup and each disk', async (t) => {
  const folder = await bucket(t);
  const found = await resolve(folder);
  t.strictSame(found.problems, []);
  t.strictSame(found.disks[0], {
    name: 'root',
    target: '/dev/root',
    layers: [1, 2, 3].map((number) => ({
      checkpoint: `cp-${number}`,
      type: number === 1 ? 'full' : 'incremental',
      object: `checkpoints/demo/web/cp-${number}/vmb-${number}-root.qcow2`,
      size: 10 + number,
    })),
    origin: {
      base: { checkpoint: 'cp-1', proof: 'type' },
      order: 'index',
      file: {
        disk: 'root',
        pvc: 'pvc-root',
        pvcSize: 2 ** 30,
        recordedName: 'root',
        object: 'checkpoints/demo/web/cp-3/vmb-3-root.qcow2',
        size: 13,
      },
      facts: undefined,
    },
  });
  t.strictSame(shown(await resolve(folder, { backup: 'b1' })), ['root: 1', 'data: 1']);
  t.strictSame(shown(await resolve(folder, { backup: 'b5', names: ['late', 'pvc-data'] })), [
    'late: 4 5',
    'pvc-data: 4 5',
  ]);
});

test('a chain that is written out is taken without a look at the bucket', async (t) => {
  const chain = [{ checkpoint: 'c', type: 'full', object: 'o', size: 7, sha256: 'ab' }] as const;
  const pvcs: Plan['pvcs'] = [{ name: 'a', target: '/dev/a', size: 9, chain }];
  const { disks } = await resolve(tempFolder(t), { pvcs });
  t.strictSame(disks, [{ name: 'a', target: '/dev/a', size: 9, layers: [...chain] }]);
});

test('just the PVCs that are asked for; an unknown one is USAGE with those that are', async (t) => {
  const folder = await bucket(t);
  t.strictSame(shown(await resolve(folder, {}, { pvcs: ['data'] })), ['data: 1 2 3']);
  const unknown = await resolve(folder, {}, { pvcs: ['data', 'rot'] });
  t.strictSame(shown(unknown), ['data: 1 2 3'], 'the others are resolved all the same');
  t.match(unknown.problems, [
    { code: 'USAGE', message: 'PVC rot not found in the plan; found: root, data', hint: /--pvc root/ },
  ]);
});

test('all problems are told together, each with its PVC, beside the disks that are sound', async (t) => {
  const folder = await bucket(t);
  const { disks, problems } = await resolve(folder, { names: ['root', 'rood', 'late'] });
  t.equal(disks.length, 1);
  t.match(problems, [
    {
      pvc: 'rood',
      code: 'BACKUP_NOT_FOUND',
      message: /has no disk rood: it holds root \(PVC pvc-root\), data/,
      hint: /did you mean root/,
    },
    { pvc: 'late', code: 'BACKUP_NOT_FOUND', message: /checkpoint cp-3 .* has no disk late/ },
  ]);
});

test('placeholders are refused where targets are used, and only there', async (t) => {
  const folder = await bucket(t);
  const change = { pvcs: [{ name: 'root', target: placeholderTarget('root') }] } as const;
  const used = await resolve(folder, change, { targetsUsed: true });
  t.match(used.problems, [{ pvc: 'root', code: 'PLAN_INVALID', message: /placeholder/ }]);
  t.equal(used.disks.length, 1, 'whose chain is resolved all the same');
  t.equal((await resolve(folder, change)).disks.length, 1);
});

test('either name of a manifest is read, and what is inside decides', async (t) => {
  const folder = tempFolder(t);
  await writeHistory(folder, history('1!root 2root', { namespace: 'a-b', vm: 'c' }));
  await writeHistory(folder, history('1!root 2root', { namespace: 'a', vm: 'b-c' }));
  // Both are named a-b-c.json: the second has overwritten the first, whose chain is found in the index then.
  for (const vm of [
    { namespace: 'a-b', name: 'c' },
    { namespace: 'a', name: 'b-c' },
  ]) {
    const { disks, problems } = await resolve(folder, { vm, backup: 'b2', names: ['root'] });
    t.strictSame(problems, []);
    t.equal(disks[0]?.layers[1]?.object, `checkpoints/${vm.namespace}/${vm.name}/cp-2/vmb-2-root.qcow2`);
  }
  await rm(join(folder, 'manifests/b2'), { recursive: true });
  await writeJson(folder, 'manifests/b2/c.json', { namespace: 'a-b', name: 'c', checkpointChain: ['cp-1'] });
  const short = await resolve(folder, { vm: { namespace: 'a-b', name: 'c' }, backup: 'b2', names: ['root'] });
  t.strictSame(shown(short), ['root: 1'], 'the published design names it so');
});

test('lost manifests are no obstacle', async (t) => {
  const folder = await bucket(t);
  await rm(join(folder, 'manifests'), { recursive: true });
  t.strictSame(shown(await resolve(folder)), ['root: 1 2 3', 'data: 1 2 3']);
});

test('what is not there is told with what is', async (t) => {
  const folder = await bucket(t);
  await writeHistory(folder, history('1!root', { namespace: 'other', vm: 'db' }));
  const first = async (change: Parameters<typeof planOf>[1], from = folder) =>
    (await resolve(from, { names: ['root'], ...change })).problems[0];
  t.match(await first({ backup: 'b33' }), {
    code: 'BACKUP_NOT_FOUND',
    message: /^backup b33 of VM demo\/web not found in .*; its backups: b1, b2, b3, b4, b5$/,
    hint: /did you mean b3\?/,
  });
  await writeJson(folder, 'manifests/b9/index.json', {});
  t.match(await first({ backup: 'b9' }), { message: /^backup b9 does not contain VM demo\/web/ });
  const vm = (namespace: string, name: string): object => ({ vm: { namespace, name } });
  t.match(await first(vm('demo', 'wbe')), {
    code: 'BACKUP_NOT_FOUND',
    message: /found: demo\/web$/,
    hint: 'did you mean demo/web?',
  });
  t.match(await first(vm('nowhere', 'x')), { message: /found: demo\/web, other\/db$/ });
  await rm(join(folder, 'checkpoints/demo/web/index.json'));
  t.match(await first({}), {
    code: 'OBJECT_MISSING',
    message: /index\.json: index not found, but VM demo\/web has checkpoints: cp-1, cp-2/,
  });
  const around = tempFolder(t);
  await writeHistory(join(around, 'velero-kubevirt-datamover'), history('1!root'));
  t.match(await first({}, around), {
    code: 'BACKUP_NOT_FOUND',
    message: /^no backups found in .* \(no objects under checkpoints\/\)$/,
    hint: /candidates: velero-kubevirt-datamover$/,
  });
});

test('documents that are damaged are METADATA_INVALID, with key and position', async (t) => {
  const index = 'checkpoints/demo/web/index.json';
  const manifest = 'manifests/b3/demo-web.json';
  const cases: [key: string, content: string | Buffer | object, message: RegExp][] = [
    [index, '{"checkpoints": [', /index\.json: invalid JSON \(17 bytes\): /],
    [index, '', /index\.json: invalid JSON \(0 bytes\)/],
    [index, Buffer.from([0xff, 0xfe, 0x00]), /invalid JSON/],
    [index, '{"a": nope}', /invalid JSON .*: .*position 6|invalid JSON .*nope/],
    [index, '['.repeat(1_000_000), /invalid JSON/],
    [index, [], /index\.json: /],
    [manifest, '{', /demo-web\.json: invalid JSON \(1 bytes\)/],
    [manifest, { namespace: 'demo', name: 'web', checkpointChain: [] }, /demo-web\.json: checkpointChain/],
    [
      manifest,
      { namespace: 'demo', name: 'web', checkpointChain: null },
      /demo-web\.json: checkpointChain: not a list of checkpoints/,
    ],
    [
      manifest,
      { namespace: 'demo', name: 'web', checkpointChain: ['../x'] },
      /checkpointChain\[0\]: "\.\.\/x" holds a '\/'/,
    ],
    [manifest, { namespace: 7, name: 'web', checkpointChain: ['cp-1'] }, /namespace: /],
  ];
  for (const [key, content, message] of cases) {
    const folder = await bucket(t);
    if (typeof content === 'string' || Buffer.isBuffer(content)) await put(folder, key, Buffer.from(content));
    else await writeJson(folder, key, content);
    const { disks, problems } = await resolve(folder, { names: ['root'] });
    t.strictSame(disks, []);
    t.match(problems, [{ pvc: 'root', code: 'METADATA_INVALID', message }], key);
  }
});

test('a document of over 64 MiB is refused unread', async (t) => {
  const folder = await bucket(t);
  const path = join(folder, 'checkpoints/demo/web/index.json');
  await writeFile(path, '');
  await truncate(path, 200 * 2 ** 20);
  const { problems } = await resolve(folder, { names: ['root'] });
  t.match(problems, [{ code: 'METADATA_INVALID', message: /limit 64\.0 MiB/ }]);
});

test('a chain that the manifest lists and the index does not prove is CHAIN_BROKEN', async (t) => {
  const folder = await bucket(t);
  await writeJson(folder, 'manifests/b3/demo-web.json', {
    namespace: 'demo',
    name: 'web',
    checkpointChain: ['cp-1', 'cp-3'],
  });
  t.match((await resolve(folder)).problems, [
    { pvc: 'root', code: 'CHAIN_BROKEN', message: /cp-3 builds on cp-2/ },
    { pvc: 'data', code: 'CHAIN_BROKEN' },
  ]);
});

test('a source that denies access is one problem of the plan; a cancelled run rejects', async (t) => {
  const folder = await bucket(t);
  await t.rejects(resolve(folder, {}, { signal: AbortSignal.abort(new Error('enough')) }), { message: 'enough' });
  // A link that leads out of the source: denied to root too.
  const index = join(folder, 'checkpoints/demo/web/index.json');
  await rm(index);
  await symlink('/etc/passwd', index);
  const chain = [{ checkpoint: 'c', type: 'full', object: 'o', size: 7 }] as const;
  const { disks, problems } = await resolve(folder, {
    pvcs: [
      { name: 'root', target: '/dev/root' },
      { name: 'data', target: '/dev/data' },
      { name: 'written', target: '/dev/written', chain },
    ],
  });
  t.match(problems, [{ code: 'ACCESS_DENIED' }]);
  t.notOk('pvc' in (problems[0] ?? {}), 'it concerns no single PVC');
  t.strictSame(
    disks.map(({ name }) => name),
    ['written'],
    'a chain that is written out needs no look at the source',
  );
});
