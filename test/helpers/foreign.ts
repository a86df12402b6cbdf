// What other programs leave in a bucket or in a copy of it: none of it is part of a backup.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { put } from './catalog.ts';
import type { Rgw } from './rgw.ts';
import { type Owner, tempFolder } from './tmp.ts';

/** Of NAS boxes, snapshots, file systems, recycle bins, synchronisers. */
const DIRECTORIES = [
  '@eaDir',
  '#recycle',
  '.snapshot',
  '.zfs',
  'lost+found',
  '.Trash-1000',
  '$RECYCLE.BIN',
  '.stversions',
];

/** AppleDouble, Finder, Explorer, NFS, editors, copies that were interrupted or made by hand. */
const FILES = [
  '.DS_Store',
  '._index.json',
  '._demo-web.json',
  'Thumbs.db',
  '.nfs000000000004711',
  'index.json~',
  'demo-web.json~',
  '.demo-web.json.swp',
  'index.json.bak',
  'demo-web.json.partial',
  'demo-web.json.3f2a1b0c.partial',
  'demo-web (1).json',
  'copy of demo-web.json',
  'notes.json',
  'README.txt',
];

/** Every place in which documents or layers are looked for, for a VM demo/web with checkpoint `checkpoint` and backup `backup`. */
function places({ checkpoint, backup }: Place): string[] {
  const vm = 'checkpoints/demo/web/';
  return ['', 'checkpoints/', 'checkpoints/demo/', vm, `${vm}${checkpoint}/`, 'manifests/', `manifests/${backup}/`];
}

export interface Place {
  readonly checkpoint: string;
  readonly backup: string;
}

/** Keys with contents that a bucket and a directory may have alike. */
function foreignFiles(place: Place): [key: string, content: string][] {
  const files: [string, string][] = [];
  for (const where of places(place)) {
    for (const name of FILES)
      files.push([`${where}${name}`, name === 'notes.json' ? '{"note": 1}' : '\u0000\u0005\u0016\u0007']);
    for (const name of DIRECTORIES)
      files.push([`${where}${name}/x/index.json`, '{'], [`${where}${name}/demo-web.json`, '{']);
  }
  // A snapshot of all of it, and what a deleted VM has left.
  files.push(['checkpoints/.snapshot/hourly.0/demo/web/index.json', '{']);
  files.push(
    ['checkpoints/demo/deleted/cp-1/vmb.json', '{}'],
    ['checkpoints/demo/deleted/cp-1/._vmb-1-root.qcow2', 'x'],
  );
  files.push(['manifests/tmp/notes.txt', '']);
  return files;
}

/** Adds to a directory what is not part of a backup; directories that only their owner may enter among it. */
export async function addForeignFiles(t: Owner, folder: string, place: Place): Promise<void> {
  for (const [key, content] of foreignFiles(place)) await put(folder, key, Buffer.from(content));
  for (const empty of [
    'checkpoints/empty',
    'checkpoints/demo/gone',
    'checkpoints/demo/gone-too/cp-1',
    'manifests/gone',
  ]) {
    mkdirSync(join(folder, empty), { recursive: true });
  }
  for (const where of places(place)) {
    const at = (name: string): string => join(folder, where, name);
    chmodSync(at('lost+found'), 0);
    execFileSync('mkfifo', [at('pipe'), at('pipe.json')]);
    for (const name of ['dangling', 'dangling.json']) symlinkSync('/no/such/place', at(name));
    for (const name of ['loop', 'loop.json']) symlinkSync(name, at(name));
    // Through a link, since a socket's path must be short.
    const short = join(tempFolder(t), 'place');
    symlinkSync(join(folder, where), short);
    const server = createServer().listen(join(short, 'socket.json'));
    t.teardown(() => server.close());
  }
}

/** Adds to a bucket what is not part of a backup; folder markers among it. */
export async function addForeignObjects(rgw: Rgw, bucket: string, prefix: string, place: Place): Promise<void> {
  const markers = ['gone/', 'gone-too/cp-1/', 'web/.hidden/'].map((name) => `checkpoints/demo/${name}`);
  const doubled = ['checkpoints//x', 'checkpoints/demo//index.json', 'manifests//demo-web.json'];
  for (const key of [...places(place), ...markers, 'checkpoints/empty/', 'manifests/gone/']) {
    if (key !== '') await rgw.put(bucket, `${prefix}${key}`, '');
  }
  for (const key of doubled) await rgw.put(bucket, `${prefix}${key}`, '{');
  for (const [key, content] of foreignFiles(place)) await rgw.put(bucket, `${prefix}${key}`, content);
}
