import { test } from 'tap';
import type { Plan, S3Source } from '../../src/plan/plan.ts';
import { planId } from '../../src/plan/plan-id.ts';

const source: S3Source = { kind: 's3', bucket: 'b', prefix: 'p', endpoint: 'https://s3.example.com' };

const plan: Plan = {
  version: 1,
  source,
  backup: 'b1',
  vm: { namespace: 'demo', name: 'web' },
  pvcs: [{ name: 'a', target: '/dev/a', size: 10, chain: [{ checkpoint: 'c1', type: 'full', object: 'o', size: 5 }] }],
};
const [pvc] = plan.pvcs;

test('the id is short, plain, and does not change by itself', async (t) => {
  t.match(planId(plan), /^[0-9a-f]{16}$/);
  t.equal(planId(structuredClone(plan)), planId(plan));
});

test('how the source is reached and where scratch lies make no other plan', async (t) => {
  const alike: Plan[] = [
    { ...plan, scratch: { path: '/s', headroomPercent: 30 } },
    {
      ...plan,
      source: {
        ...source,
        profile: 'x',
        region: 'y',
        credentialsFile: '/c',
        caFile: '/ca',
        forcePathStyle: true,
        insecureSkipTLSVerify: true,
      },
    },
    { ...plan, source: { ...source, prefix: 'p/' } },
    { ...plan, source: { ...source, endpoint: 'https://S3.example.com/' } },
  ];
  for (const other of alike) t.equal(planId(other), planId(plan));
});

test('what is restored, from where and to where make another plan', async (t) => {
  const layer = { checkpoint: 'c1', type: 'full', object: 'o', size: 5 } as const;
  const others: Plan[] = [
    { ...plan, source: { ...source, bucket: 'c' } },
    { ...plan, source: { ...source, prefix: 'q' } },
    { ...plan, source: { ...source, endpoint: 'https://other.example.com' } },
    { ...plan, source: { kind: 'directory', directory: '/b' } },
    { ...plan, backup: 'b2' },
    { ...plan, vm: { namespace: 'demo', name: 'db' } },
    { ...plan, pvcs: [{ ...pvc, name: 'b' }] },
    { ...plan, pvcs: [{ ...pvc, target: '/dev/b' }] },
    { ...plan, pvcs: [{ ...pvc, size: 11 }] },
    { ...plan, pvcs: [{ name: 'a', target: '/dev/a', size: 10 }] },
    { ...plan, pvcs: [{ ...pvc, chain: [{ ...layer, object: 'p' }] }] },
    { ...plan, pvcs: [{ ...pvc, chain: [{ ...layer, sha256: 'ab' }] }] },
    { ...plan, pvcs: [pvc, { name: 'b', target: '/dev/b' }] },
  ];
  const ids = new Set([plan, ...others].map(planId));
  t.equal(ids.size, others.length + 1);
});
