// How two places relate: pure but for the question whether a directory knows upper and lower case apart.
import { foldCase, ignoresCase, type Place } from './place.ts';

/** Whether writing one place writes the other: one file, one device, or two paths of which both will be made. */
export async function isSame(a: Place, b: Place): Promise<boolean> {
  if (a.id !== undefined || b.id !== undefined) return a.id === b.id;
  if (a.directories[0] !== b.directories[0] || a.missing.length !== b.missing.length) return false;
  const pairs = a.missing.map((name, index) => [name, b.missing[index] ?? ''] as const);
  if (pairs.every(([one, other]) => one === other)) return true;
  if (!pairs.every(([one, other]) => foldCase(one) === foldCase(other))) return false;
  return await ignoresCase(a.directory);
}

/** Whether `place` is, or will be, somewhere below the directory `tree`, by whatever mount it is reached. */
export function isInside(place: Place, tree: Place): boolean {
  if (tree.id !== undefined && place.directories.includes(tree.id)) return true;
  if (place.mounted !== undefined && tree.mounted !== undefined && place.mounted.device === tree.mounted.device) {
    const above = tree.mounted.path === '/' ? '/' : `${tree.mounted.path}/`;
    if (place.mounted.path !== tree.mounted.path && place.mounted.path.startsWith(above)) return true;
  }
  return (
    tree.id === undefined &&
    place.id === undefined &&
    place.directories[0] === tree.directories[0] &&
    place.missing.length > tree.missing.length &&
    tree.missing.every((name, index) => name === place.missing[index])
  );
}

/** Whether two block devices share bytes: a disk and its partition, what lies on each other, loop devices of one file. */
export function sharesDevice(a: Place, b: Place): boolean {
  if (a.block === undefined || b.block === undefined) return false;
  if (a.storage.devices.has(b.block) || b.storage.devices.has(a.block)) return true;
  return [...a.storage.shown].some((file) => b.storage.shown.has(file));
}

/** Whether `place` holds the bytes of `other`: as the device of its file system, or as the file behind a loop device. */
export function holds(place: Place, other: Place): boolean {
  if (place.block !== undefined) return other.block === undefined && other.storage.devices.has(place.block);
  return place.id !== undefined && other.storage.files.has(place.id);
}
