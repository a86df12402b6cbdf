// What a run records of a target right before and after it completes it, and what a later look makes of that.
import { spawnSync } from 'node:child_process';
import { renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { CheckedChain } from '../../src/chain/check-layers.ts';
import { findCompleted, recordCompleted, recordExpected } from '../../src/restore/finished.ts';
import { type Journal, openJournal } from '../../src/scratch/journal.ts';
import { openTarget } from '../../src/target/open.ts';
import { partialPathOf } from '../../src/target/partial-file.ts';
import type { Target, TargetSession } from '../../src/target/target.ts';
import { KiB, MiB } from '../../src/units.ts';
import { injecting, nodeOn } from '../helpers/injected.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const source = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);

test('a file that cannot be read back is the target’s failure, not scratch’s', async (t) => {
  if (!requires(t, 'strace')) return;
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  const script = `
    const { openJournal } = await import(${source('scratch/journal.ts')});
    const { recordExpected } = await import(${source('restore/finished.ts')});
    const { openTarget } = await import(${source('target/open.ts')});
    const signal = new AbortController().signal;
    const target = await openTarget({ path: ${JSON.stringify(path)}, partialTag: 'plan', signal });
    const claim = { planId: 'plan', pvc: 'rootdisk', diskSize: 4096, runId: 'run' };
    const session = await target.begin({ claim, diskSize: 4096, replace: false, signal });
    const journal = await openJournal(${JSON.stringify(join(folder, 'journal'))});
    const on = { chain: { disk: { name: 'rootdisk' }, layers: [], virtualSize: 4096 }, target, runId: 'run' };
    try {
      await recordExpected(journal, on, { session, edges: [] });
    } catch ({ name, code, message, hint }) {
      console.log(JSON.stringify({ name, code, message, hint }));
    }
    await session.abandon();
    await journal.close();`;
  const fault = { calls: 'pread64', fault: 'error=EIO', path: partialPathOf(path, 'plan') };
  const args = injecting(fault, nodeOn(script));
  const { stdout, stderr } = spawnSync('strace', args, { encoding: 'utf8' });
  t.not(stdout, '', stderr);
  t.match(JSON.parse(stdout), {
    name: 'DatamoverError',
    code: 'TARGET_WRITE_FAILED',
    message: `cannot read ${partialPathOf(path, 'plan')} back: input/output error`,
    hint: /dmesg/,
  });
});

interface Stand {
  readonly folder: string;
  readonly path: string;
  readonly journal: Journal;
  readonly target: Target;
}

const signal = new AbortController().signal;
const SIZE = 16 * MiB;
const chain = {
  disk: { name: 'rootdisk' },
  layers: [{ info: { key: 'k', size: 1, etag: 'e' } }],
  virtualSize: SIZE,
} as unknown as CheckedChain;

async function fileTarget(t: Test, content: Uint8Array | undefined): Promise<Stand> {
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  if (content !== undefined) writeFileSync(path, content);
  const journal = await openJournal(join(folder, 'journal'));
  t.teardown(() => journal.close());
  return { folder, path, journal, target: await openTarget({ path, partialTag: 'plan', signal }) };
}

/** Writes a restore up to the record that comes before the file gets its name. */
async function writtenUpToName({ journal, target }: Stand, content: Uint8Array): Promise<TargetSession> {
  const claim = { planId: 'plan', pvc: 'rootdisk', diskSize: SIZE, runId: 'run' };
  const session = await target.begin({ claim, diskSize: SIZE, replace: true, signal });
  writeFileSync(session.writePath, content, { flag: 'r+' });
  await recordExpected(journal, { chain, target, runId: 'run' }, { session, edges: [] });
  return session;
}

test('an older restore of the same backup does not pass for the one that a run was about to complete', async (t) => {
  const content = Buffer.alloc(SIZE, 0x5a);
  const stand = await fileTarget(t, changedBetweenSamples(content));
  const { journal, target } = stand;
  const session = await writtenUpToName(stand, content);
  // As after SIGKILL: the run's file has no name yet.
  t.equal(await findCompleted(journal, { chain, target }), undefined);
  await session.finish([]);
  t.match(await findCompleted(journal, { chain, target }), { state: 'same', disk: { restoredBy: { runId: 'run' } } });
});

test('a file of nothing but zeros is kept while it is the one that the run made', async (t) => {
  const blank = Buffer.alloc(SIZE);
  const stand = await fileTarget(t, undefined);
  const { journal, target, path } = stand;
  await (await writtenUpToName(stand, blank)).finish([]);
  await recordCompleted(journal, { chain, target, runId: 'run' });
  t.match(await findCompleted(journal, { chain, target }), { state: 'same' });
  const other = `${path}.other`;
  writeFileSync(other, blank);
  renameSync(other, path);
  t.equal(await findCompleted(journal, { chain, target }), undefined, 'a blank file in its place proves nothing');
});

test('what a look at a completed file tells', async (t) => {
  const content = Buffer.alloc(SIZE, 0x5a);
  const stand = await fileTarget(t, undefined);
  const { journal, target, path } = stand;
  const look = async (on = chain) => (await findCompleted(journal, { chain: on, target }))?.state;
  await (await writtenUpToName(stand, content)).finish([]);
  await recordCompleted(journal, { chain, target, runId: 'run' });
  t.equal(await look(), 'same');
  const replaced = { ...chain, layers: [{ info: { key: 'k', size: 1, etag: 'other' } }] } as unknown as CheckedChain;
  t.equal(await look(replaced), 'outdated');
  writeFileSync(path, changedBetweenSamples(content), { flag: 'r+' });
  t.equal(await look(), 'same', 'samples do not show all: why nothing calls this a proof');
  writeFileSync(path, Buffer.alloc(1, 1), { flag: 'r+' });
  t.equal(await look(), 'changed');
  writeFileSync(path, content);
  truncateSync(path, SIZE + 512);
  t.equal(await look(), 'changed', 'another length');
  rmSync(path);
  t.equal(await look(), undefined, 'a file that is gone is simply restored again');
});

/** The samples of this size are the first 64 KiB of every 224 KiB. */
function changedBetweenSamples(content: Uint8Array): Uint8Array {
  const changed = Buffer.from(content);
  changed[MiB + 128 * KiB] = 0xa5;
  return changed;
}
