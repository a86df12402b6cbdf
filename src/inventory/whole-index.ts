// The index of a VM with everything that any document names: as it is, completed, or rebuilt.

import { soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import { count } from '../units.ts';
import type { VmRef } from '../vm-ref.ts';
import { halfIndex, loadRebuilt } from './rebuild.ts';
import { loadOrRebuildIndex } from './vm-backup.ts';

/** As `loadOrRebuildIndex`; of an index that can be read, what manifests and parents name is added where it is missing. */
export async function loadWholeIndex(
  store: ObjectStore,
  vm: VmRef,
  options: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<VmIndex> {
  const index = await loadOrRebuildIndex(store, vm, options);
  const whole =
    index.rebuilt === undefined
      ? await loadRebuilt(store, { vm, lost: halfIndex(store, vm, { missing: [] }), known: index }, options)
      : index;
  const { ids = [], notes = [] } = whole.rebuilt ?? {};
  if (ids.length > 0) for (const message of notes) options.progress.report({ type: 'info', message });
  else {
    const found = soundCheckpoints(index).length;
    options.progress.report({
      type: 'info',
      message: `the index is complete: ${count(found, 'checkpoint')}, none rebuilt`,
    });
  }
  return ids.length > 0 ? whole : index;
}
