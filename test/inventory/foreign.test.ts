// What is not part of a backup is passed over; what is, and is broken, is still a problem.
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type Listing, listBucket } from '../../src/inventory/list.ts';
import { loadVmIndex } from '../../src/inventory/vm-backup.ts';
import { loadTips } from '../../src/inventory/vm-manifest.ts';
import type { ProgressEvent } from '../../src/progress.ts';
import { openDirectoryStore } from '../../src/store/directory/directory.ts';
import { openS3Store } from '../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../src/store/store.ts';
import { history, put, writeHistory, writeJson } from '../helpers/catalog.ts';
import { addForeignFiles, addForeignObjects } from '../helpers/foreign.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;
const PLACE = { checkpoint: 'cp-1', backup: 'b1' };
const WEB = { namespace: 'demo', name: 'web' };

interface Listed extends Listing {
  readonly log: readonly string[];
}

async function list(
  store: ObjectStore,
  filter: Pick<Parameters<typeof listBucket>[1], 'vm' | 'backup'> = {},
): Promise<Listed> {
  const log: string[] = [];
  const report = (event: ProgressEvent): void => {
    if (event.type === 'info' || event.type === 'warning') log.push(`${event.type}: ${event.message}`);
  };
  return { ...(await listBucket(store, { ...filter, progress: { report }, signal })), log };
}

async function bucket(t: Test): Promise<string> {
  const folder = tempFolder(t);
  await writeHistory(folder, history('1!root 2root 3!root,data'));
  return folder;
}

const FILTERS = [{}, { vm: WEB }, { backup: 'b1' }, { vm: WEB, backup: 'b2' }];

/** Without what was logged. */
async function documents(store: ObjectStore): Promise<unknown[]> {
  const all: unknown[] = [];
  for (const filter of FILTERS) {
    const { log: _, ...listing } = await list(store, filter);
    all.push(listing);
  }
  return all;
}

async function passesOver(t: Test, store: ObjectStore, clean: readonly unknown[]): Promise<void> {
  t.strictSame(await documents(store), clean, 'the documents are those of the bare backup');
  const { problems, log } = await list(store);
  t.strictSame(problems, []);
  t.equal(log.length, 1, 'one line about all of it');
  t.match(log[0], /^info: ignored, not part of a backup: .*checkpoints\/@eaDir\//);
  t.match(log[0], /checkpoints\/demo\/gone\//);
  const index = await loadVmIndex(store, WEB, { signal });
  const { tips, problems: ofTips } = await loadTips(store, index, { signal });
  t.strictSame(ofTips, []);
  t.strictSame([...tips.keys()], ['b1', 'b2', 'b3']);
  const missing = await loadVmIndex(store, { ...WEB, name: 'gone' }, { signal }).catch((error: unknown) => error);
  t.match(missing, { code: 'BACKUP_NOT_FOUND', message: /found: demo\/web$/ }, 'an empty folder is no VM');
}

test('in a directory', async (t) => {
  if (!requires(t, 'mkfifo')) return;
  const folder = await bucket(t);
  const store = await openDirectoryStore({ directory: folder });
  const clean = await documents(store);
  await addForeignFiles(t, folder, PLACE);
  await passesOver(t, store, clean);
});

test('in a directory, as a user who may not enter all of it', async (t) => {
  if (!requires(t, 'mkfifo', 'root')) return;
  const folder = await bucket(t);
  const store = await openDirectoryStore({ directory: folder });
  const clean = await documents(store);
  await addForeignFiles(t, folder, PLACE);
  chmodSync(folder, 0o755);
  process.seteuid?.(65534);
  try {
    await passesOver(t, store, clean);
  } finally {
    process.seteuid?.(0);
  }
});

test('in a bucket', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  const folder = await bucket(t);
  const rgw = await startRgw(t);
  const name = await rgw.createBucket();
  const prefix = 'velero-kubevirt-datamover';
  await rgw.putFolder(name, folder, `${prefix}/`);
  const { endpoint, region, env } = rgw;
  const options = { endpoint, region, forcePathStyle: true };
  const store = await openS3Store({ bucket: name, prefix, ...options }, { concurrency: 8, env });
  t.teardown(() => store.close());
  const clean = await documents(store);
  await addForeignObjects(rgw, name, `${prefix}/`, PLACE);
  await passesOver(t, store, clean);

  // Velero's own objects, and the source given one level up.
  for (const key of [
    'backups/b1/velero-backup.json',
    'restores/r1/restore-r1-logs.gz',
    'kopia/demo/kopia.repository',
    'plugins/',
  ]) {
    await rgw.put(name, key, '{}');
  }
  const above = await openS3Store({ bucket: name, ...options }, { concurrency: 8, env });
  t.teardown(() => above.close());
  t.match((await list(above)).problems, [
    { code: 'BACKUP_NOT_FOUND', hint: `check the prefix; candidates: ${prefix}` },
  ]);
});

test('what the uploader leaves behind', async (t) => {
  const folder = await bucket(t);
  const store = await openDirectoryStore({ directory: folder });
  const clean = await documents(store);
  const read = (key: string) => JSON.parse(readFileSync(join(folder, key), 'utf8'));
  const index = read('checkpoints/demo/web/index.json');
  const emptyTime = '0001-01-01T00:00:00Z';
  for (const checkpoint of index.checkpoints) checkpoint.referencedBy.push('', null);
  index.checkpoints.push({}, { id: '', type: '', timestamp: emptyTime, vmBackup: '', files: null, referencedBy: [''] });
  await writeJson(folder, 'checkpoints/demo/web/index.json', index);
  const manifest = read('manifests/b2/index.json');
  manifest.vms.push({}, { name: '', namespace: '', checkpointId: '', manifestPath: '' }, null);
  await writeJson(folder, 'manifests/b2/index.json', manifest);
  const own = read('manifests/b2/demo-web.json');
  own.checkpointChain = [{ id: 'cp-1', type: 'full' }, '', { id: 'cp-2', parent: 'cp-1' }, {}];
  await writeJson(folder, 'manifests/b2/demo-web.json', own);
  t.strictSame(await documents(store), clean);
  t.match((await list(store)).log, [
    'info: ignored empty entries, left behind by the uploader, in: checkpoints/demo/web/index.json, manifests/b2/index.json',
  ]);
});

test('a copy of a manifest under another name says nothing of the backup', async (t) => {
  const folder = await bucket(t);
  const stale = { namespace: 'demo', name: 'web', checkpointChain: ['cp-1'] };
  for (const name of ['demo-web.old.json', 'a-copy.json']) await writeJson(folder, `manifests/b2/${name}`, stale);
  const store = await openDirectoryStore({ directory: folder });
  for (const filter of [{}, { backup: 'b2' }]) {
    const { backups, problems, log } = await list(store, filter);
    t.match(backups.find(({ name }) => name === 'b2')?.vms, [{ name: 'web', checkpoint: 'cp-2' }]);
    t.strictSame(problems, []);
    t.match(log, [/ignored, not part of a backup: .*manifests\/b2\/demo-web\.old\.json/]);
  }
});

test('of a manifest under both of its names the uploader’s counts', async (t) => {
  const folder = await bucket(t);
  await writeJson(folder, 'manifests/b2/web.json', { namespace: 'demo', name: 'web', checkpointChain: ['cp-1'] });
  const store = await openDirectoryStore({ directory: folder });
  t.match((await list(store, { vm: WEB, backup: 'b2' })).backups, [{ vms: [{ checkpoint: 'cp-2' }] }]);
});

test('a backup that is broken stays a problem', async (t) => {
  const folder = await bucket(t);
  const store = await openDirectoryStore({ directory: folder });
  await t.test('layers without an index', async (t) => {
    await put(folder, 'checkpoints/demo/lost/@eaDir/x', Buffer.from(''));
    await put(folder, 'checkpoints/demo/lost/cp-7/vmb-7-root.qcow2', Buffer.from('x'));
    const message = /checkpoints\/demo\/lost\/index\.json: index not found, but VM demo\/lost has checkpoints: cp-7$/;
    t.match((await list(store)).problems, [{ code: 'OBJECT_MISSING', message }]);
    await t.rejects(loadVmIndex(store, { ...WEB, name: 'lost' }, { signal }), { code: 'OBJECT_MISSING', message });
  });
  await t.test('a damaged manifest of a VM that the backup’s own document does not name', async (t) => {
    await put(folder, 'checkpoints/demo/db/index.json', Buffer.from(JSON.stringify(history('1!root', { vm: 'db' }))));
    await put(folder, 'checkpoints/demo/db/cp-1/vmb-1-root.qcow2', Buffer.alloc(11));
    await put(folder, 'manifests/b3/demo-db.json', Buffer.from('{"namespace": "demo", "checkp'));
    const { problems } = await list(store);
    t.ok(problems.some(({ code, message }) => code === 'METADATA_INVALID' && message.includes('b3/demo-db.json')));
  });
  await t.test('a namespace and a backup that may not be read', async (t) => {
    if (!requires(t, 'root')) return;
    await writeHistory(folder, history('1!root', { namespace: 'closed' }));
    await writeJson(folder, 'manifests/b8/index.json', { vms: [] });
    chmodSync(join(folder, 'checkpoints/closed'), 0);
    chmodSync(join(folder, 'manifests/b8'), 0);
    chmodSync(folder, 0o755);
    process.seteuid?.(65534);
    try {
      const { problems, vms } = await list(store);
      for (const place of ['checkpoints/closed', 'manifests/b8']) {
        t.ok(
          problems.some(({ code, message }) => code === 'ACCESS_DENIED' && message.includes(place)),
          place,
        );
      }
      t.ok(
        vms.some(({ name, disks }) => name === 'web' && disks.length === 2),
        'the rest is listed',
      );
    } finally {
      process.seteuid?.(0);
    }
  });
});
