import { appendFileSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { openJournal, readJournal } from '../../src/scratch/journal.ts';
import { KiB, MiB } from '../../src/units.ts';
import { requires } from '../helpers/requires.ts';
import { SMALL_DISK_TOOLS, smallDisk } from '../helpers/small-disk.ts';
import { tempFolder } from '../helpers/tmp.ts';

const LAYER = { disk: 'rootdisk', index: 0, object: 'checkpoints/demo/web/cp-1/a.qcow2', size: 100, etag: '"1"' };
const PART = { offset: 0, length: 50, crc: 7 };

test('what was recorded is known to the next run', async (t) => {
  const path = join(tempFolder(t), 'journal');
  const first = await openJournal(path);
  t.notOk(first.hasProgress, 'an empty journal is worth nothing');
  const layer = await first.layer(LAYER);
  await layer.addPart(PART);
  await layer.saveFirstCluster({ length: 512, crc: 9 });
  await first.complete({
    disk: 'other',
    chain: 'c',
    target: { rdev: '7:0' },
    restoredBy: { runId: 'r', finishedAt: '2026-01-02T03:04:05.678Z' },
    virtualSize: 10,
    windows: [],
    crc: 1,
  });
  await first.close();
  t.equal(statSync(path).mode & 0o777, 0o600);

  const second = await openJournal(path);
  t.ok(second.hasProgress);
  const again = await second.layer(LAYER);
  t.strictSame([...again.parts], [PART]);
  t.strictSame(again.head, { length: 512, crc: 9 });
  t.match(second.completed('other'), { chain: 'c', restoredBy: { runId: 'r' }, target: { rdev: '7:0' } });
  await second.reopen('other');
  t.equal(second.completed('other'), undefined);
  await second.close();
  const third = await openJournal(path);
  t.equal(third.completed('other'), undefined, 'taken back for good');
  await third.close();
});

test('an object that was replaced loses its parts', async (t) => {
  const path = join(tempFolder(t), 'journal');
  const first = await openJournal(path);
  await (await first.layer(LAYER)).addPart(PART);
  for (const changed of [{ etag: '"2"' }, { size: 101 }, { object: 'checkpoints/demo/web/cp-1/b.qcow2' }]) {
    t.strictSame([...(await first.layer({ ...LAYER, ...changed })).parts], [], JSON.stringify(changed));
  }
  await first.close();
});

test('a torn or damaged line ends what is believed', async (t) => {
  const path = join(tempFolder(t), 'journal');
  const first = await openJournal(path);
  const layer = await first.layer(LAYER);
  await layer.addPart(PART);
  const whole = statSync(path).size;
  await layer.addPart({ ...PART, offset: 50 });
  await first.close();

  truncateSync(path, statSync(path).size - 3);
  const torn = await openJournal(path);
  t.strictSame([...(await torn.layer(LAYER)).parts], [PART]);
  t.equal(statSync(path).size, whole, 'the torn end is cut off');
  await torn.close();

  const bytes = readFileSync(path);
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  appendFileSync(path, 'garbage\n');
  const damaged = await openJournal(path);
  t.notOk(damaged.hasProgress);
  await damaged.close();
});

test('a record that a full file system takes half of is gone, those before and after it are not', async (t) => {
  if (!requires(t, ...SMALL_DISK_TOOLS)) return;
  const disk = smallDisk(t, { size: 4 * MiB });
  const path = join(disk, 'journal');
  const journal = await openJournal(path);
  const layer = await journal.layer(LAYER);
  const ballast = join(disk, 'ballast');
  fill(ballast);
  // One of these crosses into a block that is not to be had.
  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, (_, offset) => layer.addPart({ ...PART, offset })),
  );
  const recorded = outcomes.flatMap(({ status }, offset) => (status === 'fulfilled' ? [{ ...PART, offset }] : []));
  t.ok(recorded.length > 0 && recorded.length < 200, `${recorded.length} of 200 had room`);
  t.match(
    outcomes.find(({ status }) => status === 'rejected'),
    { reason: { code: 'ENOSPC' } },
  );
  t.strictSame([...layer.parts], recorded, 'what failed does not count');
  await t.rejects(journal.layer({ ...LAYER, index: 1 }), { code: 'ENOSPC' });
  rmSync(ballast);
  const last = { ...PART, offset: 1000 };
  await layer.addPart(last);
  await (await journal.layer({ ...LAYER, index: 2 })).addPart(last);
  await journal.complete({
    disk: 'other',
    chain: 'c',
    target: {},
    virtualSize: 10,
    windows: [],
    crc: 1,
  });
  await journal.close();
  const again = await openJournal(path);
  t.strictSame([...(await again.layer(LAYER)).parts], [...recorded, last]);
  t.strictSame([...(await again.layer({ ...LAYER, index: 2 })).parts], [last]);
  t.ok(again.completed('other'));
  await again.close();
});

test('a journal that is only looked into stays as it is', async (t) => {
  const path = join(tempFolder(t), 'journal');
  const journal = await openJournal(path);
  await (await journal.layer(LAYER)).addPart(PART);
  await journal.complete({
    disk: 'other',
    chain: 'c',
    target: {},
    virtualSize: 10,
    windows: [],
    crc: 1,
  });
  await journal.close();
  appendFileSync(path, 'torn');
  const bytes = readFileSync(path);
  const read = await readJournal(path);
  t.ok(read.hasProgress);
  t.ok(read.completed('other'));
  t.strictSame([...read.parts(LAYER)], [PART]);
  t.strictSame([...read.parts({ ...LAYER, etag: '"2"' })], [], 'another version of the object');
  t.ok(readFileSync(path).equals(bytes));
  await t.rejects(readJournal(`${path}.not`), { code: 'ENOENT' });
});

/** To the last byte. */
function fill(ballast: string): void {
  for (const piece of [256 * KiB, 4 * KiB, 1]) {
    try {
      for (;;) appendFileSync(ballast, Buffer.alloc(piece, 1));
    } catch {
      // Full: that is what is wanted.
    }
  }
}

test('a completed PVC of a journal that did not record its run yet is known all the same', async (t) => {
  const path = join(tempFolder(t), 'journal');
  const place = '"target":{"kind":"file","place":"/d.raw","size":null,"medium":null},"verified":true';
  const body = `{"t":"finished","disk":"d","chain":"c",${place},"virtualSize":10,"windows":[],"crc":1}`;
  writeFileSync(path, `${crc32(body).toString(16).padStart(8, '0')} ${body}\n`);
  const journal = await openJournal(path);
  const found = journal.completed('d');
  t.match(found, { disk: 'd', chain: 'c', virtualSize: 10, crc: 1 });
  t.strictSame([found?.restoredBy, found?.expected], [undefined, undefined]);
  t.notOk('verified' in (found ?? {}), 'what that run compared is not believed');
  await journal.close();
});
