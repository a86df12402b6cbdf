// Which files can be read past the page cache.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { cacheModeOf } from '../src/direct-io.ts';
import { MiB } from '../src/units.ts';
import { requires } from './helpers/requires.ts';
import { SMALL_DISK_TOOLS, smallDisk } from './helpers/small-disk.ts';
import { tempFolder } from './helpers/tmp.ts';
import { WITHOUT_DIRECT_TOOLS, withoutDirect } from './helpers/without-direct.ts';

test('asks the file system, and takes no other refusal for an answer', async (t) => {
  if (!requires(t, ...SMALL_DISK_TOOLS, ...WITHOUT_DIRECT_TOOLS)) return;
  for (const [folder, mode] of [
    [smallDisk(t, { size: 4 * MiB }), 'none'],
    [withoutDirect(t), 'writeback'],
  ] as const) {
    writeFileSync(join(folder, 'file'), 'x');
    t.equal(await cacheModeOf(join(folder, 'file')), mode);
  }
  await t.rejects(cacheModeOf(join(tempFolder(t), 'none')), { code: 'ENOENT' });
});
