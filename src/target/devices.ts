// Targets must not lie on each other, nor where scratch, the plan or the source lies: by device number, not by name.
import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Problem } from '../errors.ts';
import { systemCode } from '../errors.ts';
import { blockNumber, readMounts } from './linux/mounts.ts';
import { deviceNumber, relatedDevices } from './linux/sysfs.ts';
import type { Target } from './target.ts';

export interface NamedTarget {
  readonly name: string;
  readonly target: Target;
}

/** A file or folder that a restore must not overwrite; it need not exist yet. */
export interface Place {
  /** `scratch`, `the plan`, `the source`. */
  readonly what: string;
  readonly path: string;
}

/** Where a target's path leads: equal for two paths of one device or file, before either is opened. */
export async function placeOf(path: string): Promise<string> {
  const device = await blockNumber(path);
  if (device !== undefined) return device;
  return await realpath(path).catch(() => resolve(path));
}

/** PLAN_INVALID for two targets that share bytes, TARGET_BUSY for a target that a place lies on. */
export async function checkDistinct(targets: readonly NamedTarget[], places: readonly Place[]): Promise<Problem[]> {
  const problems: Problem[] = [];
  const devices = targets.filter(({ target }) => target.kind === 'block');
  const onDevices = await Promise.all(
    places.map(async (place) => ({ place, related: await devicesUnder(place.path) })),
  );
  for (const [index, named] of devices.entries()) {
    const { place: device } = named.target.identity;
    const related = await relatedDevices(device);
    const other = devices.slice(0, index).find(({ target }) => related.has(target.identity.place));
    if (other !== undefined) problems.push(sameTarget(named, other));
    for (const { place, related: under } of onDevices) {
      if (under.has(device)) problems.push(underPlace(named, place));
    }
  }
  return problems;
}

/** Every block device that shares bytes with the one that a path's file system lies on. */
async function devicesUnder(path: string): Promise<ReadonlySet<string>> {
  const found = await nearest(path);
  const number = deviceNumber(found.dev);
  const own = number.startsWith('0:') ? await mountedFrom(number) : number;
  return own === undefined ? new Set() : await relatedDevices(own);
}

async function nearest(path: string): Promise<{ readonly dev: bigint }> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    // It need not be there, and whether it can be used is asked elsewhere.
    if (systemCode(error) === undefined || dirname(path) === path) throw error;
    return await nearest(dirname(path));
  }
}

/** A file system with a device number of its own (btrfs, overlay) names its device, if it has one, in the mount table. */
async function mountedFrom(number: string): Promise<string | undefined> {
  const mount = (await readMounts()).find(({ device }) => device === number);
  return mount?.source.startsWith('/') ? await blockNumber(mount.source) : undefined;
}

function sameTarget({ name, target }: NamedTarget, other: NamedTarget): Problem {
  return {
    pvc: name,
    code: 'PLAN_INVALID',
    message: `PVC ${name} and PVC ${other.name} would be restored onto the same device: ${target.path} and ${other.target.path}`,
    hint: 'give each PVC a target of its own',
  };
}

function underPlace({ name, target }: NamedTarget, { what, path }: Place): Problem {
  return {
    pvc: name,
    code: 'TARGET_BUSY',
    message: `target ${target.path} holds ${what} (${path}), which a restore would overwrite`,
    hint: `choose another device, or move ${what} elsewhere`,
  };
}
