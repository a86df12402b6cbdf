// What `verify --source` reads: each document of a bucket once, however many backups share it.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { silentProgress } from '../../src/progress.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { type BucketPlanOptions, planOfBucket } from '../../src/verify/bucket-plan.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { requires } from '../helpers/requires.ts';

const signal = new AbortController().signal;
const STEPS = [
  { disks: { root: 'AB', data: 'C' } },
  { disks: { root: 'X-', data: '-' } },
  { disks: { root: '-Y', data: 'Z' } },
  { disks: { root: 'V-', data: 'W' } },
];

async function planned(directory: string, states: BucketPlanOptions['states']) {
  const reads = new Map<string, number>();
  const store = await openDirectoryStore({ directory });
  const counted: ObjectStore = {
    ...store,
    get: (key, options) => {
      reads.set(key, (reads.get(key) ?? 0) + 1);
      return store.get(key, options);
    },
  };
  const source = { kind: 'directory' as const, directory };
  const found = await planOfBucket(counted, { source, vms: [], states, progress: silentProgress, signal });
  return { ...found, reads };
}

function readOnce(t: Test, reads: ReadonlyMap<string, number>): void {
  const often = [...reads].filter(([, count]) => count > 1);
  t.strictSame(often, [], `${reads.size} documents`);
}

test('each document is read once', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { folder } = await makeFleet(t, 3, STEPS);
  for (const [states, backups] of [
    ['all', 4],
    ['latest', 1],
    [{ backup: 'b2' }, 1],
  ] as const) {
    const { resolved, problems, reads } = await planned(folder, states);
    t.strictSame([...problems, ...resolved.problems], []);
    t.equal(resolved.disks.length, 3 * 2 * backups);
    readOnce(t, reads);
  }
  const { resolved } = await planned(folder, 'all');
  const oldest = resolved.disks.find(({ name }) => name === 'team-0/vm-1/root@b1');
  const newest = resolved.disks.find(({ name }) => name === 'team-0/vm-1/root@b4');
  t.strictSame([oldest?.layers.length, newest?.layers.length], [1, 4]);
});

test('also where documents are lost', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { folder } = await makeFleet(t, 2, STEPS);
  await rm(join(folder, 'manifests'), { recursive: true });
  const { resolved, reads } = await planned(folder, 'all');
  t.equal(resolved.disks.length, 2 * 2 * 4);
  readOnce(t, reads);
});
