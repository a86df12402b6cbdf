// The directory store: the contract, and what only a file system can do.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Test, test } from 'tap';
import { openDirectoryStore } from '../../../src/store/directory/directory.ts';
import {
  listed,
  patternedBytes,
  readAll,
  rejectsWith,
  type StoreUnderTest,
  storeContract,
} from '../../contract/store.ts';
import { history, writeHistory } from '../../helpers/catalog.ts';
import { command } from '../../helpers/command.ts';
import { requires } from '../../helpers/requires.ts';
import { cleanEnvironment, programPath } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;

async function makeStore(t: Test): Promise<StoreUnderTest & { readonly folder: string }> {
  const folder = tempFolder(t);
  const store = await openDirectoryStore({ directory: folder });
  const put = async (key: string, bytes: Uint8Array): Promise<void> => {
    await mkdir(dirname(join(folder, key)), { recursive: true });
    await writeFile(join(folder, key), bytes);
  };
  return { store, folder, put, remove: (key) => rm(join(folder, key)) };
}

test('the contract', async (t) => storeContract(t, 'directory', makeStore));

test('links may lead about inside of the folder, never out of it', async (t) => {
  const { store, folder, put } = await makeStore(t);
  const outside = tempFolder(t);
  writeFileSync(join(outside, 'secret'), 'secret');
  await put('real/object', Buffer.from('object'));
  symlinkSync('real/object', join(folder, 'inside'));
  symlinkSync('real', join(folder, 'folder'));
  symlinkSync(join(outside, 'secret'), join(folder, 'out'));
  symlinkSync(outside, join(folder, 'outfolder'));
  symlinkSync('nowhere', join(folder, 'dangling'));
  t.equal((await store.head('inside', { signal })).size, 6);
  t.equal((await store.head('folder/object', { signal })).size, 6);
  await rejectsWith(t, 'ACCESS_DENIED', () => store.head('out', { signal }));
  await rejectsWith(t, 'ACCESS_DENIED', () => store.get('outfolder/secret', { maxBytes: 10, signal }));
  await rejectsWith(t, 'ACCESS_DENIED', () => listed(store, 'outfolder/'));
  await rejectsWith(t, 'OBJECT_MISSING', () => store.head('dangling', { signal }));
  const keys = (await listed(store, '')).map(({ key }) => key);
  t.same(keys, ['folder/', 'real/', 'inside'], 'a listing shows what can be read');
});

test('a folder that is itself a link', async (t) => {
  const { folder, put } = await makeStore(t);
  await put('object', Buffer.from('object'));
  const link = join(tempFolder(t), 'link');
  symlinkSync(folder, link);
  const store = await openDirectoryStore({ directory: link });
  t.equal((await store.head('object', { signal })).size, 6);
  t.equal(store.describe('object'), join(link, 'object'));
});

test('a file that is written to, replaced or touched is another version', async (t) => {
  const { store, folder, put } = await makeStore(t);
  const path = join(folder, 'object');
  const changes: [string, () => void][] = [
    ['appended to', () => appendFileSync(path, 'x')],
    ['replaced', () => renameSync(`${path}.new`, path)],
    ['touched', () => utimesSync(path, 1, 1)],
  ];
  for (const [name, change] of changes) {
    await put('object', patternedBytes(1000));
    await put('object.new', patternedBytes(1000));
    utimesSync(`${path}.new`, 2, 2);
    const { etag, size } = await store.head('object', { signal });
    change();
    await rejectsWith(
      t,
      'OBJECT_CHANGED',
      () => readAll(store, 'object', { offset: 0, length: 10, etag, size, signal }),
      name,
    );
  }
  await put('object', patternedBytes(1000));
  const { etag, size } = await store.head('object', { signal });
  const busy = async (): Promise<void> => writeFileSync(path, patternedBytes(1000, 2));
  const range = { offset: 0, length: size, etag, size, signal };
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range, { step: 500, busy }), 'during the read');
});

test('the same file under another inode is the same version', async (t) => {
  const { store, folder, put } = await makeStore(t);
  const path = join(folder, 'object');
  const bytes = patternedBytes(1000);
  await put('object', bytes);
  const { etag, size } = await store.head('object', { signal });
  const range = { offset: 0, length: size, etag, size, signal };
  const inode = statSync(path).ino;
  // What a remount of sshfs looks like; `cp -p` keeps the time to the nanosecond.
  const remount = (): void => {
    execFileSync('cp', ['-p', path, `${path}.new`]);
    renameSync(`${path}.new`, path);
  };
  remount();
  t.not(statSync(path).ino, inode, 'another inode');
  t.equal((await store.head('object', { signal })).etag, etag, 'the same pin: parts of an earlier run are kept');
  const busy = async (): Promise<void> => remount();
  t.ok((await readAll(store, 'object', range, { step: 500, busy })).equals(bytes), 'before and during a read');
  chmodSync(path, 0o640);
  linkSync(path, `${path}.link`);
  t.ok((await readAll(store, 'object', range)).equals(bytes), 'another mode, another number of links');
  remount();
  utimesSync(path, 3, 3);
  await rejectsWith(t, 'OBJECT_CHANGED', () => readAll(store, 'object', range), 'another time');
});

test('a folder that is not there, is a file, or may not be entered', async (t) => {
  const { folder, put } = await makeStore(t);
  await put('file', Buffer.from('x'));
  await rejectsWith(t, 'OBJECT_MISSING', () => openDirectoryStore({ directory: join(folder, 'none') }));
  await rejectsWith(t, 'OBJECT_MISSING', () => openDirectoryStore({ directory: join(folder, 'file') }));
  const store = await openDirectoryStore({ directory: folder });
  renameSync(folder, `${folder}.away`);
  t.teardown(() => rm(`${folder}.away`, { recursive: true, force: true }));
  await rejectsWith(t, 'OBJECT_MISSING', () => listed(store, ''), 'gone after it was opened');
});

test('what may not be read', async (t) => {
  const { store, folder, put } = await makeStore(t);
  await put('closed', Buffer.from('x'));
  await put('names-only/object', Buffer.from('x'));
  mkdirSync(join(folder, 'locked'));
  chmodSync(join(folder, 'closed'), 0);
  chmodSync(join(folder, 'names-only'), 0o444);
  chmodSync(join(folder, 'locked'), 0);
  await asNobody(async () => {
    await rejectsWith(t, 'ACCESS_DENIED', () => store.head('closed', { signal }));
    await rejectsWith(t, 'ACCESS_DENIED', () => listed(store, 'locked/'));
    await rejectsWith(t, 'ACCESS_DENIED', () => listed(store, 'names-only/'), 'objects are not just left out');
    await rejectsWith(t, 'ACCESS_DENIED', () => openDirectoryStore({ directory: join(folder, 'locked', 'x') }));
  }, folder);
});

test('only regular files are objects', async (t) => {
  if (!requires(t, 'mkfifo')) return;
  const { store, folder } = await makeStore(t);
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  await rejectsWith(t, 'OBJECT_MISSING', () => store.head('pipe', { signal }), 'a pipe is not waited for');
  t.same(await listed(store, ''), []);
});

test('a listing that fails for a moment is repeated', async (t) => {
  if (!requires(t, 'strace')) return;
  const folder = tempFolder(t);
  await writeHistory(folder, history('1!root 2root'));
  // As a network file system may answer, once a thread.
  const inject = ['-P', join(folder, 'checkpoints/demo'), '-e', 'inject=getdents64:error=EIO:when=1'];
  const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), 'list', '--source', folder];
  const trace = join(tempFolder(t), 'trace');
  const strace = ['-f', '--seccomp-bpf', '-qq', '-o', trace, '-e', 'trace=getdents64', ...inject];
  const env = cleanEnvironment({ UV_THREADPOOL_SIZE: '4' });
  const { status, stdout, stderr } = await command('strace', [...strace, ...program], { env });
  t.match(readFileSync(trace, 'utf8'), /INJECTED/);
  t.equal(status, 0, stderr);
  t.match(stdout, /demo\/web +root +cp-2 .* restorable/);
  t.match(stderr, /retry 1 of checkpoints\/demo\/ in .*: EIO/);
});

/** Root may read everything: as root, the work is done under another effective uid. */
async function asNobody(work: () => Promise<void>, folder: string): Promise<void> {
  const { seteuid, getuid } = process;
  if (seteuid === undefined || getuid?.() !== 0) return await work();
  chmodSync(folder, 0o755);
  seteuid(65534);
  try {
    await work();
  } finally {
    seteuid(0);
  }
}
