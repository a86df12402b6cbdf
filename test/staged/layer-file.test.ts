import { randomBytes } from 'node:crypto';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { test } from 'tap';
import { openJournal } from '../../src/scratch/journal.ts';
import {
  missingRanges,
  openLayerFile,
  putHeadBack,
  saveFirstCluster,
  verifiedParts,
} from '../../src/staged/layer-file.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;

test('missing ranges are what the parts leave open, in pieces', async (t) => {
  const cases: [string, { offset: number; length: number }[], number, string][] = [
    ['nothing there', [], 25, '0+10 10+10 20+5'],
    ['all there', [{ offset: 0, length: 25 }], 25, ''],
    [
      'a hole',
      [
        { offset: 0, length: 7 },
        { offset: 20, length: 5 },
      ],
      25,
      '7+3 10+10',
    ],
    ['an unaligned part', [{ offset: 13, length: 4 }], 25, '0+10 10+3 17+3 20+5'],
    ['an empty object', [], 0, ''],
  ];
  for (const [name, parts, size, expected] of cases) {
    const text = missingRanges(parts, size, 10)
      .map(({ offset, length }) => `${offset}+${length}`)
      .join(' ');
    t.equal(text, expected, name);
  }
});

test('a part is believed only when its bytes, read again, have its CRC', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, '00.qcow2');
  const bytes = randomBytes(3000);
  writeFileSync(path, bytes);
  const journal = await openJournal(join(folder, 'journal'));
  const layer = await journal.layer({ disk: 'd', index: 0, object: 'o', size: 3000, etag: 'e' });
  const part = (offset: number, length: number) => ({
    offset,
    length,
    crc: crc32(bytes.subarray(offset, offset + length)),
  });
  await layer.addPart({ ...part(0, 1000), crc: 1 });
  await layer.addPart(part(0, 1000));
  await layer.addPart(part(1000, 1000));
  await layer.addPart({ ...part(2000, 1000), crc: 2 });
  await layer.addPart({ offset: 2500, length: 1000, crc: 3 });
  const handle = await openLayerFile(path, 3000);
  t.strictSame(await verifiedParts(handle, layer, { size: 3000, signal }), [part(0, 1000), part(1000, 1000)]);
  await handle.close();
  await journal.close();
});

test('a head that was rewritten is put back', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, '00.qcow2');
  const bytes = Buffer.concat([randomBytes(700), Buffer.alloc(324), randomBytes(1000)]);
  writeFileSync(path, bytes);
  const journal = await openJournal(join(folder, 'journal'));
  const layer = await journal.layer({ disk: 'd', index: 0, object: 'o', size: bytes.length, etag: 'e' });
  await saveFirstCluster(path, layer, 1024);
  t.equal(readFileSync(`${path}.head`).length, 700, 'without its trailing zeros');
  const handle = await open(path, 'r+');
  await handle.write(randomBytes(1024), 0, 1024, 0);
  await putHeadBack(path, handle, layer);
  t.ok(readFileSync(path).equals(bytes));
  writeFileSync(`${path}.head`, 'damaged');
  await handle.write(Buffer.alloc(1024, 5), 0, 1024, 0);
  await putHeadBack(path, handle, layer);
  t.equal(readFileSync(path)[0], 5, 'a damaged one is not');
  await handle.close();
  await journal.close();
});

test('a link in the place of a layer is not followed', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'precious'), 'x');
  symlinkSync(join(folder, 'precious'), join(folder, '00.qcow2'));
  await t.rejects(openLayerFile(join(folder, '00.qcow2'), 10), { code: 'ELOOP' });
  t.equal(readFileSync(join(folder, 'precious'), 'utf8'), 'x');
});
