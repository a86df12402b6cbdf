// Hashes taken on a thread: sha256sum is the judge.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { hashFile } from '../../src/staged/hash-file.ts';
import { patternedBytes } from '../contract/store.ts';
import { mustRun } from '../helpers/command.ts';
import { crc32cOf } from '../helpers/crc32c.ts';
import { evaluateLimited } from '../helpers/limited.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

for (const size of [0, 1, 1024 * 1024, 5 * 1024 * 1024 + 17]) {
  test(`${size} bytes hash as sha256sum and sha1sum hash them`, async (t) => {
    const path = join(tempFolder(t), 'file');
    writeFileSync(path, Buffer.alloc(size, 'some bytes'));
    let read = 0;
    const onBytes = (count: number): void => {
      read += count;
    };
    const hashes = await hashFile(path, ['sha256', 'sha1'], { onBytes, signal: new AbortController().signal });
    t.equal(hashes.get('sha256'), (await mustRun('sha256sum', [path])).split(' ')[0]);
    t.equal(hashes.get('sha1'), (await mustRun('sha1sum', [path])).split(' ')[0]);
    t.equal(read, size, 'each byte is told once');
  });
}

test('CRC-32C, by the vectors of RFC 3720 and bit by bit', async (t) => {
  const up = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
  const vectors: [Uint8Array, string][] = [
    [new Uint8Array(0), '00000000'],
    [Buffer.from('123456789'), 'e3069283'],
    [Buffer.alloc(32), '8a9136aa'],
    [Buffer.alloc(32, 0xff), '62a8ab43'],
    [up, '46dd794e'],
    [up.toReversed(), '113fdb5c'],
  ];
  for (const size of [7, 8, 1024 * 1024 + 13]) {
    const bytes = patternedBytes(size);
    vectors.push([bytes, crc32cOf(bytes).toString(16).padStart(8, '0')]);
  }
  const path = join(tempFolder(t), 'file');
  for (const [bytes, expected] of vectors) {
    writeFileSync(path, bytes);
    const options = { onBytes: () => {}, signal: new AbortController().signal };
    t.equal((await hashFile(path, ['crc32c'], options)).get('crc32c'), expected, `${bytes.length} bytes`);
  }
});

test('a file that cannot be read rejects with the system error', async (t) => {
  const path = join(tempFolder(t), 'missing');
  await t.rejects(hashFile(path, ['sha256'], { onBytes: () => {}, signal: new AbortController().signal }), {
    code: 'ENOENT',
  });
});

test('an abort ends the thread and rejects with its reason', async (t) => {
  const path = join(tempFolder(t), 'file');
  writeFileSync(path, Buffer.alloc(64 * 1024 * 1024));
  const stop = new AbortController();
  const reason = new Error('enough');
  await t.rejects(hashFile(path, ['sha256'], { onBytes: () => stop.abort(reason), signal: stop.signal }), reason);
  await t.rejects(hashFile(path, ['sha256'], { onBytes: () => {}, signal: stop.signal }), reason);
});

test('a limit of memory that the program itself can live with suffices for the thread', async (t) => {
  if (!requires(t, 'bash')) return;
  const path = join(tempFolder(t), 'file');
  writeFileSync(path, Buffer.alloc(1024 * 1024, 'some bytes'));
  const module = new URL('../../src/staged/hash-file.ts', import.meta.url).href;
  const text = `
    import { hashFile } from ${JSON.stringify(module)};
    const options = { onBytes: () => {}, signal: new AbortController().signal };
    console.log((await hashFile(${JSON.stringify(path)}, ['sha256'], options)).get('sha256'));`;
  // KiB. Without a limit of its own the thread's code alone takes 512 MiB.
  const run = await evaluateLimited(text, { ulimit: ['-d 800000'] });
  t.equal(run.stdout.trim(), (await mustRun('sha256sum', [path])).split(' ')[0], run.stderr);
});
