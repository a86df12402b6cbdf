// A bucket as libvirt and the operator leave it, from a few words: layers made by qemu, the documents beside them, and the true
// disk of every checkpoint.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { KiB } from '../../src/units.ts';
import { writeJson } from './catalog.ts';
import { type Cells, qemu } from './chain.ts';
import { sharedFolder } from './shared.ts';
import { type Owner, tempFolder } from './tmp.ts';

/** Bytes of one character of `Cells`, and of a cluster. */
const UNIT = 64 * KiB;

export interface BucketStep {
  /** The type of the checkpoint. Default: full for the first, incremental for the others. */
  readonly full?: boolean;
  /** The number of the step that it builds on. Default: the one before. */
  readonly parent?: number;
  /** By disk: what its layer writes, see `Cells`. */
  readonly disks: Readonly<Record<string, Cells>>;
  /** Disks whose layer is a full of its own: it records no backing file. */
  readonly alone?: readonly string[];
  /** Merged into the status of the archived backup. */
  readonly status?: object;
  readonly spec?: object;
}

/** Step 4 builds on step 2, although step 3 is newer: a restore in place forked the time line. */
export const FORKED: readonly BucketStep[] = [
  { disks: { root: 'ABCD' } },
  { disks: { root: '-X--' } },
  { disks: { root: '--Y-' } },
  { parent: 2, disks: { root: 'Z---' } },
];

export interface Bucket {
  readonly folder: string;
  /** By step, from 1. */
  id(step: number): string;
  object(step: number, disk: string): string;
  /** A raw file: the true disk at a step. */
  truth(step: number, disk: string): string;
  /** Reads a document, lets it be changed, and writes it. */
  edit(key: string, change: (document: Json) => unknown): Promise<void>;
}

// biome-ignore lint/suspicious/noExplicitAny: documents that tests damage in any way
export type Json = any;

export const VM = { namespace: 'demo', name: 'web' };
export const INDEX = 'checkpoints/demo/web/index.json';
export const manifestKey = (step: number): string => `manifests/b${step}/demo-web.json`;

/** Step N is checkpoint `vmb-N-2026-01-0N_02-00-00`, and the tip of backup `bN`. */
export async function makeBucket(t: Owner, steps: readonly BucketStep[]): Promise<Bucket> {
  const around = tempFolder(t);
  const folder = join(around, 'bucket');
  const states = new Map<string, Buffer>();
  const id = (step: number): string => `vmb-${step}-${day(step)}_02-00-00`;
  const object = (step: number, disk: string): string => `checkpoints/demo/web/${id(step)}/vmb-${step}-${disk}.qcow2`;
  const truth = (step: number, disk: string): string => join(around, `${step}-${disk}.raw`);
  const parents = steps.map(({ full, parent }, index) => ((full ?? index === 0) ? undefined : (parent ?? index)));
  const chains = parents.map((_, index) => chainTo(parents, index + 1));
  for (const [index, { disks, alone = [] }] of steps.entries()) {
    const step = index + 1;
    const parent = parents[index];
    for (const [disk, cells] of Object.entries(disks)) {
      const before = parent === undefined ? undefined : states.get(`${parent}/${disk}`);
      const state = apply(cells, before);
      states.set(`${step}/${disk}`, state);
      writeFileSync(truth(step, disk), state);
      const backing = parent !== undefined && before !== undefined && !alone.includes(disk);
      const layer = await sharedLayer({ cells, size: state.length, backing });
      mkdirSync(dirname(join(folder, object(step, disk))), { recursive: true });
      cpSync(layer, join(folder, object(step, disk)));
    }
  }
  const entry = (step: number): object => {
    const { disks = {} } = steps[step - 1] ?? {};
    const parent = parents[step - 1];
    return {
      id: id(step),
      type: parent === undefined ? 'full' : 'incremental',
      ...(parent === undefined ? {} : { parent: id(parent) }),
      timestamp: `${day(step)}T02:00:00Z`,
      vmBackup: `vmb-${step}`,
      files: Object.keys(disks).map((disk) => ({
        filename: `vmb-${step}-${disk}.qcow2`,
        diskName: disk,
        size: readFileSync(join(folder, object(step, disk))).length,
        objectPath: object(step, disk),
      })),
      pvcs: Object.keys(disks).map((disk) => `pvc-${disk}`),
      referencedBy: chains.flatMap((chain, tip) => (chain.includes(step) ? [`b${tip + 1}`] : [])),
    };
  };
  const numbers = steps.map((_, index) => index + 1);
  await writeJson(folder, INDEX, { vmName: 'web', namespace: 'demo', checkpoints: numbers.map(entry) });
  for (const step of numbers) {
    const { spec, status, disks = {} } = steps[step - 1] ?? {};
    const type = parents[step - 1] === undefined ? 'Full' : 'Incremental';
    await writeJson(folder, `checkpoints/demo/web/${id(step)}/vmb.json`, {
      kind: 'VirtualMachineBackup',
      metadata: { name: `vmb-${step}`, namespace: 'demo', creationTimestamp: `${day(step)}T02:00:00Z` },
      spec: { forceFullBackup: false, ...spec },
      status: {
        type,
        checkpointName: id(step),
        includedVolumes: Object.keys(disks).map((volumeName) => ({ volumeName })),
        conditions: [{ type: 'Complete', status: 'True' }],
        ...status,
      },
    });
    const chain = (chains[step - 1] ?? []).map(id);
    const backup = { backupName: `b${step}`, timestamp: `${day(step)}T02:10:00Z` };
    await writeJson(folder, manifestKey(step), { namespace: 'demo', name: 'web', ...backup, checkpointChain: chain });
    const vms = [{ name: 'web', namespace: 'demo', checkpointId: id(step), manifestPath: manifestKey(step) }];
    await writeJson(folder, `manifests/b${step}/index.json`, { ...backup, vms });
  }
  const edit = async (key: string, change: (document: Json) => unknown): Promise<void> => {
    const document = JSON.parse(readFileSync(join(folder, key), 'utf8'));
    change(document);
    await writeJson(folder, key, document);
  };
  return { folder, id, object, truth, edit };
}

/** Writes what the layers show, base first, to a raw file, by qemu-img alone. */
export function flatten(t: Owner, folder: string, objects: readonly string[]): string {
  const scratch = tempFolder(t);
  const files = objects.map((key, index) => {
    const file = join(scratch, `${index}.qcow2`);
    cpSync(join(folder, key), file);
    const onto = index === 0 ? [] : ['-F', 'qcow2', '-b', `${index - 1}.qcow2`];
    if (index > 0) qemu('qemu-img', 'rebase', '-q', '-u', '-f', 'qcow2', ...onto, file);
    return file;
  });
  const raw = join(scratch, 'disk.raw');
  qemu('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', files.at(-1) ?? '', raw);
  return raw;
}

function day(step: number): string {
  return `2026-01-${String(step).padStart(2, '0')}`;
}

function chainTo(parents: readonly (number | undefined)[], step: number): number[] {
  const chain: number[] = [];
  for (let at: number | undefined = step; at !== undefined; at = parents[at - 1]) chain.unshift(at);
  return chain;
}

function apply(cells: Cells, before: Buffer | undefined): Buffer {
  const state = Buffer.alloc(Math.max(cells.length * UNIT, before?.length ?? 0));
  before?.copy(state);
  for (const [index, cell] of [...cells].entries()) {
    if (cell !== '-') state.fill(cell === '0' ? 0 : cell.charCodeAt(0), index * UNIT, (index + 1) * UNIT);
  }
  return state;
}

interface LayerShape {
  readonly cells: Cells;
  readonly size: number;
  readonly backing: boolean;
}

/** The file that is the layer in every test, to be copied. */
async function sharedLayer(shape: LayerShape): Promise<string> {
  const folder = await sharedFolder(['layer', shape], (made) => makeLayer(made, shape));
  return join(folder, 'layer.qcow2');
}

/** Zeros are written upon a parent, so that qemu marks them as zeros instead of leaving them out. */
function makeLayer(folder: string, { cells, size, backing }: LayerShape): void {
  const [path, blank] = [join(folder, 'layer.qcow2'), join(folder, 'blank.qcow2')];
  const hasZeros = cells.includes('0');
  if (hasZeros) qemu('qemu-img', 'create', '-q', '-f', 'qcow2', blank, '64M');
  const upon = hasZeros ? ['-b', blank, '-F', 'qcow2'] : [];
  qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', `cluster_size=${UNIT}`, ...upon, path, String(size));
  const writes = [...cells].flatMap((cell, index) => {
    if (cell === '-') return [];
    const what = cell === '0' ? '-z' : `-P ${cell.charCodeAt(0)}`;
    return ['-c', `write -q ${what} ${index * UNIT} ${UNIT}`];
  });
  if (writes.length > 0) execFileSync('qemu-io', ['-f', 'qcow2', '-t', 'unsafe', ...writes, path]);
  const recorded = '/var/run/kubevirt-private/libvirt/qemu/cbt/disk.qcow2';
  const onto = backing ? ['-b', recorded, '-F', 'qcow2'] : ['-b', ''];
  if (hasZeros || backing) qemu('qemu-img', 'rebase', '-q', '-u', '-f', 'qcow2', ...onto, path);
}
