// Which files scripts/test and npm test take: none is left out, and what npm test takes needs nothing beyond Node.
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'tap';
import { LONGEST, selectFiles } from '../../scripts/lib/test/select-files.ts';

const ALL = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `test/${name}`)
  .sort();

test('every test file once, the longest first', async (t) => {
  const files = selectFiles([]);
  t.strictSame([...files].sort(), ALL);
  t.strictSame(files.slice(0, LONGEST.length), LONGEST, 'the list names files that exist');
});

test('the files below a directory, and a file by its name', async (t) => {
  t.strictSame(
    selectFiles(['test/nbd/', './test/layers.test.ts']),
    ALL.filter((file) => file.startsWith('test/nbd/') || file === 'test/layers.test.ts').sort(),
  );
  t.throws(() => selectFiles(['test/no-such.test.ts']), { code: 'ENOENT' });
});

test('unit tests ask for no tool', async (t) => {
  const files = selectFiles([], { unit: true });
  t.ok(files.includes('test/layers.test.ts'));
  const asks = /\brequires(Quietly)?\(|helpers\/(rgw|loop-device|backup|mounted-cli)\.ts/;
  for (const file of files.filter((name) => !name.startsWith('test/infrastructure/'))) {
    t.notMatch(readFileSync(file, 'utf8'), asks, file);
  }
});
