import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { openJournal } from '../../src/restore/journal.ts';
import { tempFolder } from '../helpers/tmp.ts';

const LAYER = { disk: 'rootdisk', index: 0, object: 'checkpoints/demo/web/cp-1/a.qcow2', size: 100, etag: '"1"' };
const PART = { offset: 0, length: 50, crc: 7 };

test('what was recorded is known to the next run', async (t) => {
  const path = join(tempFolder(t), 'journal');
  const first = await openJournal(path);
  t.notOk(first.worthKeeping, 'an empty journal is worth nothing');
  const layer = await first.layer(LAYER);
  await layer.addPart(PART);
  await layer.saveHead({ length: 512, crc: 9 });
  await first.finish({
    disk: 'other',
    chain: 'c',
    target: { rdev: '7:0' },
    verified: true,
    virtualSize: 10,
    windows: [],
    crc: 1,
  });
  await first.close();
  t.equal(statSync(path).mode & 0o777, 0o600);

  const second = await openJournal(path);
  t.ok(second.worthKeeping);
  const again = await second.layer(LAYER);
  t.strictSame([...again.parts], [PART]);
  t.strictSame(again.head, { length: 512, crc: 9 });
  t.match(second.finished('other'), { chain: 'c', verified: true, target: { rdev: '7:0' } });
  await second.reopen('other');
  t.equal(second.finished('other'), undefined);
  await second.close();
  const third = await openJournal(path);
  t.equal(third.finished('other'), undefined, 'taken back for good');
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
  t.notOk(damaged.worthKeeping);
  await damaged.close();
});
