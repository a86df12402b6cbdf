// scripts/make-backup's command line, read into a shape.
import { parseArgs } from 'node:util';
import { parseQuantity } from '../../../src/units.ts';
import type { BackupShape, DiskShape, Writes } from './shape.ts';

export const HELP = `Usage: scripts/make-backup BUCKET [options]

Creates a directory with the layout of the operator's bucket, with a real QEMU and no VM. BUCKET is the directory; it may contain
backups of other VMs. The same options create the same disks, byte for byte.

  --like kubevirt|other    whose backups they resemble (default kubevirt): libvirt's, with dense fulls, clusters of
                           256Ki and a recorded backing file, or another writer's, with sparse stand-alone layers
  --disk NAME=SIZE[,KEY=VALUE…]  a disk, repeatable (default: rootdisk=64Mi and datadisk=64Mi)
      pvc=NAME             the PVC's name in the index        from=N          appears at checkpoint N, as a full
      cluster=SIZE         64Ki or 256Ki; like other: 512 … 2Mi (default 64Ki)
      compat=0.10          qcow2 version 2 (like other)       compressed      compressed clusters (like other)
      extended-l2          subclusters (like other)
      resize=N:SIZE        new size at checkpoint N           empty=N         nothing changes before checkpoint N
      data=SIZE            written before the first           change=SIZE     written before each later one
      pattern=runs         runs of 1 MiB, not single 64 KiB   zero=SIZE, discard=SIZE   in each later step too
      backing=PATH         recorded in each incremental       fs              an ext4 file system whose files change
  --incrementals N         checkpoints after the first (default 3)
  --full-every N           every Nth checkpoint is full
  --vm NAMESPACE/NAME      default demo/web
  --prefix PREFIX          directory in the bucket for all objects
  --files objects|names    the two shapes of "files" in the index
  --disk-names complete|cut|absent   "diskName" in the index
  --manifest-name namespace-vm|vm
  --seed TEXT              other content (default 1)
  --truth DIR              keep the true disk of each checkpoint there: CHECKPOINT/DISK.raw, sparse
  --sums FILE              write the true disks' SHA-256, as sha256sum prints them

Examples:
  scripts/make-backup /tmp/bucket --truth /tmp/truth
  scripts/make-backup /tmp/bucket --disk root=10Gi,data=2Gi,change=200Mi,pattern=runs --incrementals 8 --full-every 5
  scripts/make-backup /tmp/bucket --like other --disk a=96Mi,cluster=4Ki,resize=3:128Mi --disk b=1Gi,compressed,from=2
`;

export interface Call {
  readonly bucket: string;
  readonly truth: string | undefined;
  readonly sums: string | undefined;
  readonly shape: BackupShape;
}

/** Reads the arguments; undefined when help was asked for. Throws an Error that says what is wrong with which. */
export function parseCall(args: readonly string[]): Call | undefined {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  if (values.help) return undefined;
  const [bucket, more] = positionals;
  if (bucket === undefined || more !== undefined) throw new Error('expected one directory, the bucket');
  const [namespace, vm, rest] = values.vm.split('/');
  if (!namespace || !vm || rest !== undefined) throw new Error(`--vm ${values.vm}: must be NAMESPACE/NAME`);
  const [first = parseDisk('rootdisk=64Mi'), ...others] = (values.disk ?? DEFAULT_DISKS).map(parseDisk);
  const fullEvery = values['full-every'];
  const shape: BackupShape = {
    like: oneOf('--like', values.like, ['kubevirt', 'other']),
    disks: [first, ...others],
    checkpoints: 1 + parseCount('--incrementals', values.incrementals, 0),
    ...(fullEvery === undefined ? {} : { fullEvery: parseCount('--full-every', fullEvery, 1) }),
    namespace,
    vm,
    prefix: values.prefix,
    seed: values.seed,
    files: oneOf('--files', values.files, ['objects', 'names']),
    diskNames: oneOf('--disk-names', values['disk-names'], ['complete', 'cut', 'absent']),
    manifestName: oneOf('--manifest-name', values['manifest-name'], ['namespace-vm', 'vm']),
  };
  return { bucket, truth: values.truth, sums: values.sums, shape };
}

const DEFAULT_DISKS = ['rootdisk=64Mi', 'datadisk=64Mi'];

const OPTIONS = {
  like: { type: 'string', default: 'kubevirt' },
  disk: { type: 'string', multiple: true },
  incrementals: { type: 'string', default: '3' },
  'full-every': { type: 'string' },
  vm: { type: 'string', default: 'demo/web' },
  prefix: { type: 'string', default: '' },
  files: { type: 'string', default: 'objects' },
  'disk-names': { type: 'string', default: 'complete' },
  'manifest-name': { type: 'string', default: 'namespace-vm' },
  seed: { type: 'string', default: '1' },
  truth: { type: 'string' },
  sums: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `NAME=SIZE[,KEY[=VALUE]…]` */
function parseDisk(text: string): DiskShape {
  const [head = '', ...keys] = text.split(',');
  const [name = '', size = ''] = head.split('=');
  if (name === '') throw new Error(`--disk ${text}: must start with NAME=SIZE`);
  const disk: Changeable<DiskShape> = { name, size: parseSize(`--disk ${text}`, size) };
  for (const key of keys) setKey(disk, key, `--disk ${text}`);
  return disk;
}

type Changeable<T> = { -readonly [K in keyof T]: T[K] };

function setKey(disk: Changeable<DiskShape>, text: string, where: string): void {
  const [key = '', value = ''] = text.split('=');
  const set = KEYS.get(key);
  if (set === undefined) throw new Error(`${where}: no such key: ${key}`);
  set(disk, value, `${where}: ${key}`);
}

type SetKey = (disk: Changeable<DiskShape>, value: string, where: string) => void;

const KEYS: ReadonlyMap<string, SetKey> = new Map<string, SetKey>([
  ['pvc', (disk, value) => Object.assign(disk, { pvc: value })],
  ['from', (disk, value, where) => Object.assign(disk, { from: parseCount(where, value, 1) })],
  ['cluster', (disk, value, where) => Object.assign(disk, { clusterSize: parseSize(where, value) })],
  ['compat', (disk, value, where) => Object.assign(disk, { compat: oneOf(where, value, ['0.10', '1.1']) })],
  ['extended-l2', (disk) => Object.assign(disk, { extendedL2: true })],
  ['compressed', (disk) => Object.assign(disk, { compressed: true })],
  ['fs', (disk) => Object.assign(disk, { fileSystem: true })],
  ['backing', (disk, value) => Object.assign(disk, { backing: value })],
  [
    'resize',
    (disk, value, where) => {
      const [checkpoint = '', size = ''] = value.split(':');
      disk.resize = { ...disk.resize, [parseCount(where, checkpoint, 1)]: parseSize(where, size) };
    },
  ],
  [
    'empty',
    (disk, value, where) => {
      disk.at = { ...disk.at, [parseCount(where, value, 1)]: 'nothing' };
    },
  ],
  ['data', (disk, value, where) => setWrites(disk, 'initial', { bytes: parseSize(where, value) })],
  ['change', (disk, value, where) => setWrites(disk, 'changes', { bytes: parseSize(where, value) })],
  ['zero', (disk, value, where) => setWrites(disk, 'changes', { zero: parseSize(where, value) })],
  ['discard', (disk, value, where) => setWrites(disk, 'changes', { discard: parseSize(where, value) })],
  [
    'pattern',
    (disk, value, where) => {
      const pattern = oneOf(where, value, ['scattered', 'runs']);
      setWrites(disk, 'initial', { pattern });
      setWrites(disk, 'changes', { pattern });
    },
  ],
]);

function setWrites(disk: Changeable<DiskShape>, step: 'initial' | 'changes', writes: Partial<Writes>): void {
  disk[step] = { ...disk[step], ...writes };
}

function parseSize(where: string, text: string): number {
  const bytes = parseQuantity(text);
  if (bytes === undefined || bytes % 512 !== 0)
    throw new Error(`${where}: expected a multiple of 512 bytes, got "${text}"`);
  return bytes;
}

function parseCount(where: string, text: string, least: number): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < least)
    throw new Error(`${where}: expected a number from ${least} up, got "${text}"`);
  return count;
}

function oneOf<const T extends string>(where: string, text: string, words: readonly T[]): T {
  const word = words.find((one) => one === text);
  if (word === undefined) throw new Error(`${where}: expected one of ${words.join(', ')}, got "${text}"`);
  return word;
}
