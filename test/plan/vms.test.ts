// Plans that hold more than one VM: names, what is refused, and the part of each VM.
import { test } from 'tap';
import { parsePlan } from '../../src/plan/parse.ts';
import { planId } from '../../src/plan/plan-id.ts';
import { plansByVm } from '../../src/plan/vms.ts';
import { writePlan } from '../../src/plan/write.ts';

const LAYER = { checkpoint: 'c', type: 'full', object: 'checkpoints/a/b/c/x.qcow2', size: 1 };
const where = { where: 'plan.yaml', folder: '/' };

function parse(plan: object) {
  return parsePlan(JSON.stringify({ version: 1, source: { directory: '/bucket' }, ...plan }), where);
}

function refusal(plan: object) {
  try {
    parse(plan);
    return [];
  } catch (error) {
    return (error as { problems: readonly { code: string; message: string; pvc?: string }[] }).problems;
  }
}

test('names are those of the disks in a plan of one VM, namespace/vm/disk in one of several', async (t) => {
  const pvcs = [
    { name: 'root', target: '/a', chain: [LAYER] },
    { name: 'data', target: '/b', chain: [LAYER] },
  ];
  const names = (plan: object): string[] => parse(plan).pvcs.map(({ name }) => name);
  const [root, data] = pvcs;
  t.strictSame(names({ pvcs }), ['root', 'data']);
  t.strictSame(names({ vm: 'a/b', backup: 'x', pvcs }), ['root', 'data']);
  t.strictSame(names({ pvcs: pvcs.map((pvc) => ({ ...pvc, vm: 'a/b' })) }), ['root', 'data']);
  t.strictSame(names({ vm: 'a/b', pvcs: [root, { ...data, vm: 'a/c' }] }), ['a/b/root', 'a/c/data']);
  t.strictSame(names({ vm: 'a/b', pvcs: [root, { ...root, target: '/c', vm: 'a/c' }] }), ['a/b/root', 'a/c/root']);
});

test('what does not go together is refused with its place', async (t) => {
  const root = { name: 'root', target: '/a' };
  t.match(refusal({ vm: 'a/b', backup: 'x', pvcs: [root, { ...root, target: '/b', vm: 'a/b' }] }), [
    { message: 'plan.yaml: pvcs[1].name: root is also the name of pvcs[0] (line 1' },
  ]);
  t.match(refusal({ vm: 'a/b', backup: 'x', pvcs: [root, { ...root, vm: 'a/c' }] }), [
    { pvc: 'a/c/root', message: 'pvcs[1].target: /a is also the target of pvcs[0]' },
  ]);
  t.match(refusal({ pvcs: [{ ...root, backup: 'x' }] }), [{ message: 'pvcs[0].backup: requires `vm`' }]);
  t.match(refusal({ pvcs: [{ ...root, vm: 'a/b' }] }), [{ message: 'pvcs[0]: no chain, and no backup' }]);
  t.match(refusal({ backup: 'x', pvcs: [root, { ...root, target: '/b', vm: 'a/b' }] }), [
    { message: 'backup: requires `vm`' },
  ]);
  t.match(refusal({ pvcs: [{ ...root, vm: 'web', backup: 1, claimName: 'Web_root' }] }), [
    { message: /pvcs\[0\]\.vm: expected namespace\/name, got "web"/ },
    { message: /pvcs\[0\]\.backup: expected text/ },
    { message: /pvcs\[0\]\.claimName: invalid name of a PersistentVolumeClaim/ },
  ]);
  t.strictSame(refusal({ pvcs: [{ ...root, vm: 'a/b', backup: 'x' }] }), []);
});

test('a large text that is no plan is refused soon', async (t) => {
  for (const text of ['a: b\n'.repeat(1_000_000), '- '.repeat(1_000_000)]) {
    t.throws(() => parsePlan(text, where), { code: 'PLAN_INVALID', message: /more than 500000 values/ });
  }
});

test('the part of a VM is a plan of its own, the same whatever else the plan holds', async (t) => {
  const web = { name: 'root', target: '/a', vm: 'a/web', backup: 'x', chain: [LAYER] };
  const db = { name: 'root', target: '/b', vm: 'a/db', backup: 'x', claimName: 'db-root', chain: [LAYER] };
  const log = { name: 'log', target: '/c', vm: 'a/db', backup: 'y', chain: [LAYER] };
  const parts = plansByVm(parse({ pvcs: [web, db, log] }));
  t.match(parts, [
    { vm: { name: 'web' }, plan: { backup: 'x', vm: { name: 'web' }, pvcs: [{ name: 'root', target: '/a' }] } },
    {
      plan: {
        vm: { name: 'db' },
        pvcs: [
          { name: 'root', backup: 'x', claimName: 'db-root' },
          { name: 'log', backup: 'y' },
        ],
      },
    },
  ]);
  t.strictSame(
    parts.map(({ pvcs }) => [...pvcs].map(([name, pvc]) => [name, pvc.name])),
    [
      [['root', 'a/web/root']],
      [
        ['root', 'a/db/root'],
        ['log', 'a/db/log'],
      ],
    ],
  );
  for (const { plan } of parts) {
    t.strictSame(parsePlan(writePlan(plan, { top: [], pvcs: new Map() }), where), plan, 'written and read again');
  }
  const [alone] = plansByVm(
    parse({
      pvcs: [
        { ...web, target: '/a' },
        { ...db, vm: 'a/other' },
      ],
    }),
  );
  t.equal(alone && planId(alone.plan), parts[0] && planId(parts[0].plan));
  const one = parse({ vm: 'a/web', backup: 'x', pvcs: [{ name: 'root', target: '/a' }] });
  t.equal(plansByVm(one)[0]?.plan, one);
});
