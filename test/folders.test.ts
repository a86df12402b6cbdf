import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { makeFolders } from '../src/folders.ts';
import { tempFolder } from './helpers/tmp.ts';

test('missing folders are made, existing ones left alone', async (t) => {
  const top = tempFolder(t);
  mkdirSync(join(top, 'there'), { mode: 0o755 });
  t.equal(await makeFolders(join(top, 'there/a/b'), 0o700), join(top, 'there/a'));
  t.equal(statSync(join(top, 'there/a/b')).mode & 0o777, 0o700);
  t.equal(statSync(join(top, 'there')).mode & 0o777, 0o755);
  t.equal(await makeFolders(join(top, 'there'), 0o700), undefined);
});

test('where no folder can be made, it says so and returns', async (t) => {
  const top = tempFolder(t);
  writeFileSync(join(top, 'file'), '');
  await t.rejects(makeFolders(join(top, 'file/a'), 0o700), { code: 'ENOTDIR' });
  await t.rejects(makeFolders(join(top, 'file'), 0o700), { code: 'ENOTDIR' });
  await t.rejects(makeFolders('/proc/no/such', 0o700), { code: 'ENOENT' });
});
