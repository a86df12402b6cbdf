// Documents that are mutated, missing and forged, beside real layers: the right chain, an unproven one, or a refusal; never
// another VM's or another disk's bytes. The truth is the maker's.
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { draftPlan } from '../../src/draft/draft-plan.ts';
import { DatamoverError } from '../../src/errors.ts';
import { listBucket } from '../../src/inventory/list.ts';
import { silentProgress as progress } from '../../src/progress.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { type Bucket, type BucketStep, INDEX, type Json, makeBucket, manifestKey, VM } from '../helpers/bucket.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;

/** `data` is plugged in at step 2, `root` falls back to a full at step 4, and step 5 is a full with holes. */
const STEPS: readonly BucketStep[] = [
  { disks: { root: 'ABCD' } },
  { disks: { root: '-X--', data: 'efgh' } },
  { disks: { root: '--Y-', data: '-i--' } },
  { disks: { root: 'KLM0', data: '--j-' }, alone: ['root'] },
  { full: true, disks: { root: 'P-QR', data: 'k-lm' } },
  { disks: { root: '-S--', data: '-n--' } },
];

type Disks = Record<string, string>;

/** What a chain of steps shows: holes that no layer fills are zeros. */
function shown(steps: readonly number[], disk: string): string {
  let cells = '0000';
  for (const step of steps) {
    const disks: Disks = { ...STEPS[step - 1]?.disks };
    const own = disks[disk] ?? '----';
    cells = [...cells].map((cell, place) => (own[place] === '-' ? cell : (own[place] ?? cell))).join('');
  }
  return cells;
}

const TRUTH: Readonly<Record<number, readonly number[]>> = {
  1: [1],
  2: [1, 2],
  3: [1, 2, 3],
  4: [1, 2, 3, 4],
  5: [5],
  6: [5, 6],
};

type Mutation = (bucket: { readonly folder: string; id(step: number): string }) => void;

const step = fc.integer({ min: 1, max: STEPS.length });
const layerType = fc.constantFrom('full', 'incremental', 'Full', 'x', '', undefined);

const vmbKey = (bucket: Pick<Bucket, 'id'>, number: number): string =>
  `checkpoints/demo/web/${bucket.id(number)}/vmb.json`;

function change(folder: string, key: string, work: (document: Json) => unknown): void {
  try {
    const document = JSON.parse(readFileSync(join(folder, key), 'utf8'));
    work(document);
    writeFileSync(join(folder, key), JSON.stringify(document));
  } catch {
    // Another mutation took the document or the entry away.
  }
}

const lose = (keyOf: (bucket: Pick<Bucket, 'id'>, number: number) => string) =>
  fc.tuple(step, fc.constantFrom(undefined, '', '{', '{}', '[]', 'null')).map(([number, content]): Mutation => {
    return (bucket) => {
      const path = join(bucket.folder, keyOf(bucket, number));
      rmSync(path, { force: true, recursive: true });
      if (content !== undefined) writeFileSync(path, content);
    };
  });

const entryChange = <T>(value: fc.Arbitrary<T>, work: (entry: Json, value: T, all: Json[]) => unknown) =>
  fc.tuple(step, value).map(([number, chosen]): Mutation => {
    return ({ folder }) =>
      change(folder, INDEX, ({ checkpoints }) => work(checkpoints[number - 1], chosen, checkpoints));
  });

const archivedChange = <T>(value: fc.Arbitrary<T>, work: (document: Json, value: T) => unknown) =>
  fc.tuple(step, value).map(([number, chosen]): Mutation => {
    return (bucket) => change(bucket.folder, vmbKey(bucket, number), (document) => work(document, chosen));
  });

/** Documents lost or damaged, and forged statements about types, names and places. */
const harm: fc.Arbitrary<Mutation> = fc.oneof(
  lose(() => INDEX),
  lose((_, number) => manifestKey(number)),
  lose(vmbKey),
  lose((_, number) => `manifests/b${number}/index.json`),
  entryChange(layerType, (entry, type) => Object.assign(entry, { type })),
  entryChange(fc.constant(0), (entry, _, all) => all.splice(all.indexOf(entry), 1)),
  entryChange(fc.constant(0), (entry, _, all) => all.push(entry)),
  entryChange(fc.constant(0), (entry) => delete entry.parent),
  entryChange(step, (entry, other, all) => Object.assign(entry, { files: all[other - 1].files })),
  entryChange(step, (entry, other) => Object.assign(entry, { id: `vmb-${other}-2026-01-0${other}_02-00-00` })),
  entryChange(fc.constantFrom('vmb-1', 'vmb-1-root', '', 'vmb'), (entry, vmBackup) =>
    Object.assign(entry, { vmBackup }),
  ),
  entryChange(fc.constantFrom('checkpoints/demo/other/', 'checkpoints/other/web/'), (entry, place) => {
    for (const file of entry.files) file.objectPath = file.objectPath.replace('checkpoints/demo/web/', place);
  }),
  archivedChange(layerType, ({ status }, type) => Object.assign(status, { type })),
  archivedChange(layerType, ({ status }, type) =>
    Object.assign(status, { includedVolumes: ['root', 'data'].map((volumeName) => ({ volumeName, type })) }),
  ),
  archivedChange(step, ({ metadata }, other) => Object.assign(metadata, { name: `vmb-${other}` })),
  archivedChange(step, ({ status }, other) =>
    Object.assign(status, { checkpointName: `vmb-${other}-2026-01-0${other}_02-00-00` }),
  ),
  archivedChange(fc.constantFrom('2026-01-01T02:00:00Z', '2027-01-01T00:00:00Z', 'x', 7), ({ metadata }, time) =>
    Object.assign(metadata, { creationTimestamp: time }),
  ),
);

/** Forged order: found out by the documents that are left as they were. */
const forgedOrder: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(step, step).map(([number, parent]): Mutation => {
    return (bucket) =>
      change(bucket.folder, INDEX, ({ checkpoints }) =>
        Object.assign(checkpoints[number - 1], { parent: bucket.id(parent) }),
      );
  }),
  fc.tuple(step, fc.shuffledSubarray([1, 2, 3, 4, 5, 6], { minLength: 1 })).map(([number, ids]): Mutation => {
    return (bucket) =>
      change(bucket.folder, manifestKey(number), (manifest) =>
        Object.assign(manifest, { checkpointChain: ids.map(bucket.id) }),
      );
  }),
);

/** Without an index, what is left of the manifests has the order. */
const lostOrder = fc
  .tuple(fc.subarray([1, 2, 3, 4, 5, 6]), fc.array(harm, { maxLength: 2 }))
  .map(([lost, more]): Mutation[] => {
    const loseOrder: Mutation = ({ folder }) => {
      for (const key of [INDEX, ...lost.map(manifestKey)]) rmSync(join(folder, key), { force: true });
    };
    return [loseOrder, ...more];
  });

const harms = fc.oneof(
  { weight: 3, arbitrary: lostOrder },
  { weight: 4, arbitrary: fc.array(harm, { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(forgedOrder, { minLength: 1, maxLength: 1 }) },
);

test('no document makes a wrong chain a proven one', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const made = await makeBucket(t, STEPS);
  const around = tempFolder(t);
  const files = readdirSync(made.folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w+$/.test(name));
  const counts = { proven: 0, unproven: 0, refused: 0 };
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      harms,
      step,
      fc.constantFrom('root', 'data'),
      fc.boolean(),
      async (mutations, number, disk, byBackup) => {
        run += 1;
        const folder = join(around, String(run));
        for (const name of files) {
          mkdirSync(dirname(join(folder, name)), { recursive: true });
          // Documents are written to, layers are not.
          if (name.endsWith('.qcow2')) linkSync(join(made.folder, name), join(folder, name));
          else writeFileSync(join(folder, name), readFileSync(join(made.folder, name)));
        }
        for (const mutate of mutations) mutate({ folder, id: made.id });
        const store = await openDirectoryStore({ directory: folder });
        const state = byBackup ? { backup: `b${number}` } : { checkpoint: made.id(number) };
        try {
          const { plan } = await draftPlan(store, {
            source: { kind: 'directory', directory: folder },
            vm: VM,
            pvcs: [{ name: disk }],
            acceptUnproven: true,
            signal,
            ...state,
          });
          const chain = plan.pvcs[0].chain ?? [];
          const objects = chain.map(({ object }) => object);
          const steps = objects.map((object) => Number(/\/vmb-(\d+)-/.exec(object)?.[1]));
          const own = steps.map((each) => made.object(each, disk));
          if (String(own) !== String(objects)) throw new Error(`not of disk ${disk}: ${objects.join(', ')}`);
          if (plan.order === 'unproven') counts.unproven += 1;
          else {
            counts.proven += 1;
            const truth = shown(TRUTH[steps.at(-1) ?? 0] ?? [], disk);
            const found = shown(steps, disk);
            if (found !== truth)
              throw new Error(`${disk} of step ${number}: ${steps.join(' ')} shows ${found}, not ${truth}`);
          }
        } catch (error) {
          if (!(error instanceof DatamoverError) || error.code === 'INTERNAL') throw error;
          counts.refused += 1;
        }
        // Never rejects, whatever the documents are.
        const { vms } = await listBucket(store, { progress, signal });
        if (vms.length > 1) throw new Error('a listing of other VMs');
        rmSync(folder, { recursive: true });
      },
    ),
    { numRuns: 150 },
  );
  t.comment(JSON.stringify(counts));
  for (const [what, count] of Object.entries(counts)) t.ok(count > 5, `some are ${what} (${count})`);
});
