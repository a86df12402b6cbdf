// A small chain from strings, as a backup leaves it: stand-alone layers, and the true disk beside them.
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { KiB } from '../../src/units.ts';
import { tempFolder } from './tmp.ts';

/**
 * One layer's writes, a character a unit of the disk: a letter fills the unit with its character code, `0` zeroes it,
 * `-` leaves it as it was. What the string does not reach is left as it was.
 */
export type Cells = string;

export interface LayerShape {
  readonly cells: Cells;
  /** Bytes of the disk from this layer on: a disk that grew. */
  readonly size?: number;
  /** Writes compressed clusters (whole clusters only). */
  readonly compressed?: boolean;
  /** More `qemu-img create -o` options, such as `compat=0.10` or `extended_l2=on`. */
  readonly options?: string;
  /** A backing path that the layer records, as some writers do; none by default. */
  readonly recordedBacking?: string;
}

export interface ChainShape {
  /** Bytes; default: the longest layer's units. */
  readonly size?: number;
  readonly clusterSize?: number;
  /** Bytes of one character; 64 KiB by default. */
  readonly unit?: number;
  readonly layers: readonly (Cells | LayerShape)[];
}

export interface TestChain {
  readonly dir: string;
  /** `00.qcow2`, … base first; absolute paths. */
  readonly layers: readonly string[];
  /** The tip's disk as a raw file, written without qemu. */
  readonly truth: string;
  readonly size: number;
}

export function makeChain(t: Test, shape: ChainShape): TestChain {
  const dir = tempFolder(t);
  const unit = shape.unit ?? 64 * KiB;
  const shapes = shape.layers.map((layer) => (typeof layer === 'string' ? { cells: layer } : layer));
  let size = shape.size ?? unit * Math.max(1, ...shapes.map(({ cells }) => cells.length));
  const truth = join(dir, 'truth.raw');
  const disk = openSync(truth, 'w');
  const layers: string[] = [];
  for (const layer of shapes) {
    size = layer.size ?? size;
    ftruncateSync(disk, size);
    writeCells(disk, layer.cells, unit);
    layers.push(makeLayer(dir, { index: layers.length, size, unit, clusterSize: shape.clusterSize, layer }));
  }
  closeSync(disk);
  for (const [index, layer] of shapes.entries()) record(layers[index] ?? '', layer.recordedBacking ?? '');
  return { dir, layers, truth, size };
}

/** Writes `plan.json` into `folder`: the chain, from its own directory, onto `target`. Returns the plan's path. */
export function writeChainPlan(folder: string, { dir, layers }: TestChain, target: string): string {
  const chain = layers.map((path, index) => ({
    checkpoint: `c${index}`,
    type: index === 0 ? 'full' : 'incremental',
    ...(index === 0 ? {} : { parent: `c${index - 1}` }),
    object: path.slice(dir.length + 1),
  }));
  const plan = join(folder, 'plan.json');
  const pvcs = [{ name: 'disk', target, chain }];
  writeFileSync(plan, JSON.stringify({ version: 1, source: { directory: dir }, pvcs }));
  return plan;
}

/** Runs one of qemu's tools, quietly; throws when it fails. */
export function qemu(tool: 'qemu-img' | 'qemu-io', ...args: string[]): string {
  return execFileSync(tool, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

interface LayerPlace {
  readonly index: number;
  readonly size: number;
  readonly unit: number;
  readonly clusterSize: number | undefined;
  readonly layer: LayerShape;
}

/** Written upon its parent, so that clusters which are written in part are whole. */
function makeLayer(dir: string, { index, size, unit, clusterSize, layer }: LayerPlace): string {
  const path = join(dir, nameOf(index));
  const options = [clusterSize === undefined ? '' : `cluster_size=${clusterSize}`, layer.options ?? ''].filter(Boolean);
  const upon = index === 0 ? [] : ['-b', nameOf(index - 1), '-F', 'qcow2'];
  qemu(
    'qemu-img',
    'create',
    '-q',
    '-f',
    'qcow2',
    ...options.flatMap((option) => ['-o', option]),
    ...upon,
    path,
    `${size}`,
  );
  const kind = layer.compressed === true ? '-c ' : '';
  const commands = [...runsOf(layer.cells)].map(({ cell, start, count }) => {
    const what = cell === '0' ? '-z' : `${kind}-P ${cell.charCodeAt(0)}`;
    return `write -q ${what} ${start * unit} ${count * unit}`;
  });
  if (commands.length > 0)
    qemu('qemu-io', '-f', 'qcow2', '-t', 'unsafe', ...commands.flatMap((command) => ['-c', command]), path);
  return path;
}

function record(path: string, backing: string): void {
  const format = backing === '' ? [] : ['-F', 'qcow2'];
  qemu('qemu-img', 'rebase', '-q', '-u', '-f', 'qcow2', '-b', backing, ...format, path);
}

function writeCells(disk: number, cells: Cells, unit: number): void {
  for (const { cell, start, count } of runsOf(cells)) {
    writeSync(disk, Buffer.alloc(count * unit, cell === '0' ? 0 : cell.charCodeAt(0)), 0, count * unit, start * unit);
  }
}

/** Runs of one written character. */
function* runsOf(cells: Cells): Generator<{ cell: string; start: number; count: number }> {
  for (const match of cells.matchAll(/([^-])\1*/g)) {
    yield { cell: match[1] ?? '', start: match.index, count: match[0].length };
  }
}

function nameOf(index: number): string {
  return `${String(index).padStart(2, '0')}.qcow2`;
}
