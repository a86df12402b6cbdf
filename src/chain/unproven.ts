// Chains whose order no document proves: they are restored only on request, since after a restore in place, a VM made again under
// its name, a failed upload or a deleted layer the guess is wrong.
import type { Problem } from '../errors.ts';
import type { Disk } from './disk.ts';

type Ordered = Pick<Disk, 'name' | 'origin' | 'layers'>;

export function isUnproven({ origin }: Pick<Disk, 'origin'>): boolean {
  return origin?.order === 'time';
}

/** CHAIN_BROKEN for each chain whose order is unproven. */
export function unprovenProblems(disks: readonly Ordered[]): Problem[] {
  return disks.filter(isUnproven).map((disk) => ({
    pvc: disk.name,
    code: 'CHAIN_BROKEN',
    message: unprovenMessage(disk),
    hint: 'compare the chain with another copy of the index or with the history of the VM; to take it as it is, add --accept-unproven',
  }));
}

/** One line for a log, a listing or a plan. */
export function unprovenMessage({ name, layers }: Ordered): string {
  const order = layers.map(({ checkpoint }) => checkpoint);
  const shown = order.length > SHOWN ? [...order.slice(0, SHOWN / 2), '…', ...order.slice(-SHOWN / 2)] : order;
  return `disk ${name}: the order of its layers is unproven, guessed by time or joined from several manifests: ${shown.join(', ')}`;
}

const SHOWN = 12;
