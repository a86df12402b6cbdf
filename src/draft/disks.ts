// Which disks a drafted plan restores, and where to.
import { findFile, knownCheckpoint, LISTED } from '../catalog/chain.ts';
import { vmText } from '../catalog/keys.ts';
import type { VmIndex } from '../catalog/vm-index.ts';
import { DatamoverError } from '../errors.ts';
import type { VmBackup } from '../inventory/vm-backup.ts';

export interface DraftPvc {
  /** The disk's name, or its PVC's. */
  readonly name: string;
  /** As it is to be written: a relative one counts from the plan file. Undefined for the placeholder. */
  readonly target?: string | undefined;
}

/**
 * The disks that are asked for, or all of the tip's. USAGE when they contradict each other; for all, CHAIN_BROKEN or
 * METADATA_INVALID when the tip is not to be had, BACKUP_NOT_FOUND when it holds none.
 */
export function chooseDisks({ index, tip: id }: VmBackup, pvcs: readonly DraftPvc[]): readonly DraftPvc[] {
  if (pvcs.length === 0) return allDisks(index, id);
  const entry = index.byId.get(id)?.[0];
  const checkpoint = entry?.flaw === undefined ? entry : undefined;
  const seen = new Map<string, string>();
  const once = (what: string, by: string): void => {
    const other = seen.get(what);
    seen.set(what, by);
    if (other === undefined) return;
    throw new DatamoverError('USAGE', `--pvc ${other} and --pvc ${by} are the same ${what.split(' ')[0]}`, {
      hint: 'give each disk once, with its own target',
    });
  };
  for (const { name, target } of pvcs) {
    const shown = target === undefined ? name : `${name}=${target}`;
    // A name that is not there is told with all that are wrong, when the chains are resolved.
    const file = checkpoint?.files.find((one) => one.disk === name || one.pvc === name);
    const disk = checkpoint === undefined || file === undefined ? name : findFile(index, checkpoint, name).disk;
    once(`disk ${disk}`, shown);
    if (target !== undefined) once(`target ${target}`, shown);
  }
  return pvcs;
}

function allDisks(index: VmIndex, id: string): readonly DraftPvc[] {
  const { files } = knownCheckpoint(index, id, LISTED);
  const names = [...new Set(files.map(({ disk }) => disk))];
  if (names.length > 0) return names.map((name) => ({ name }));
  throw new DatamoverError('BACKUP_NOT_FOUND', `checkpoint ${id} of VM ${vmText(index.vm)} holds no disk`, {
    hint: 'choose another backup; `kubevirt-datamover list` shows what each holds',
  });
}
