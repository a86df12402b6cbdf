// The flags of `manifest` for new PVCs in the cluster.
import { InvalidArgumentError, Option } from 'commander';
import { ACCESS_MODES, type AccessMode, type CreatePvcs } from '../../kubernetes/options.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import { parseText } from '../flags/flags.ts';
import { refuse } from '../flags/usage.ts';
import { parseObjectName } from './manifest-scheduling.ts';

export interface PvcFlags {
  readonly createPvcs?: boolean;
  readonly storageClass?: StorageClasses;
  readonly accessMode?: AccessMode;
}

interface StorageClasses {
  readonly all?: string;
  readonly byDisk: ReadonlyMap<string, string>;
}

export function pvcOptions(): Option[] {
  return [
    new Option('--create-pvcs', 'print the target PVCs too, as block volumes'),
    new Option('--storage-class <class>', 'class of new PVCs, or DISK=CLASS for one disk; repeatable').argParser(
      collectStorageClass,
    ),
    new Option('--access-mode <mode>', 'access mode of new PVCs (default ReadWriteOnce)').choices(ACCESS_MODES),
  ];
}

/** Undefined where none are to be created; USAGE for flags that go with new ones only. */
export function chooseCreatePvcs({ createPvcs, storageClass, accessMode }: PvcFlags): CreatePvcs | undefined {
  if (createPvcs === true) {
    return {
      storageClasses: storageClass?.byDisk ?? new Map(),
      accessMode: accessMode ?? 'ReadWriteOnce',
      ...omitUndefined({ storageClass: storageClass?.all }),
    };
  }
  if (storageClass === undefined && accessMode === undefined) return undefined;
  return refuse('--storage-class and --access-mode require --create-pvcs', 'add --create-pvcs, or remove them');
}

/** CLASS, or DISK=CLASS. */
function collectStorageClass(value: string, { all, byDisk = new Map() }: Partial<StorageClasses> = {}): StorageClasses {
  const at = parseText(value).lastIndexOf('=');
  const storageClass = parseObjectName(value.slice(at + 1));
  if (at === -1) return { all: storageClass, byDisk };
  if (at === 0) throw new InvalidArgumentError('It must be CLASS or DISK=CLASS.');
  return { ...omitUndefined({ all }), byDisk: new Map([...byDisk, [value.slice(0, at), storageClass]]) };
}
