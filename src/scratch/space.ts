// Whether what a run writes fits on a file system: it cannot, it may not, it does, or the file system does not say (design section 8).

/** Of one PVC on one file system, with all that the PVCs before it left there. Bytes. */
export interface SpaceNeed {
  readonly pvc: string;
  readonly where: 'scratch' | 'target';
  /** The scratch directory, or the raw file. */
  readonly path: string;
  /** The raw file that lies on this file system, if one does. */
  readonly file: string | undefined;
  /** The file system, as `FreeSpace` has it. */
  readonly pool: string;
  /** What is written in any case. */
  readonly certain: number;
  /** What is enough in any case; in scratch with headroom. */
  readonly wanted: number;
  /** Undefined when the file system does not report it. */
  readonly available: number | undefined;
  /** New files beyond those that can be created. */
  readonly missingFiles: number;
}

export type Fit = 'fits' | 'tight' | 'too-small' | 'unknown';

export function fitOf({ certain, wanted, available, missingFiles }: SpaceNeed): Fit {
  if (missingFiles > 0) return 'too-small';
  if (wanted === 0) return 'fits';
  if (available === undefined) return 'unknown';
  if (certain > available) return 'too-small';
  return wanted > available ? 'tight' : 'fits';
}

/** Whether nothing speaks against it. */
export function hasSpace(needs: readonly SpaceNeed[]): boolean {
  return needs.every((need) => ['fits', 'unknown'].includes(fitOf(need)));
}

/** Whether `needs` fit less badly than `others`, by the worst of each. */
export function fitBetter(needs: readonly SpaceNeed[], others: readonly SpaceNeed[]): boolean {
  return worstFit(needs) < worstFit(others);
}

/** As an index of SEVERITY. */
function worstFit(needs: readonly SpaceNeed[]): number {
  return Math.max(0, ...needs.map((need) => SEVERITY.indexOf(fitOf(need))));
}

/** The need that is furthest from fitting on each file system, in the order of the PVCs. */
export function worstNeeds(needs: readonly SpaceNeed[]): SpaceNeed[] {
  const worst = new Map<string, SpaceNeed>();
  for (const need of needs) {
    const other = worst.get(need.pool);
    if (other === undefined || isWorse(need, other)) worst.set(need.pool, need);
  }
  return [...worst.values()];
}

function isWorse(need: SpaceNeed, other: SpaceNeed): boolean {
  const [fit, otherFit] = [fitOf(need), fitOf(other)];
  if (fit !== otherFit) return SEVERITY.indexOf(fit) > SEVERITY.indexOf(otherFit);
  const missing = ({ certain, wanted, available = 0 }: SpaceNeed): number =>
    (fit === 'too-small' ? certain : wanted) - available;
  return missing(need) > missing(other);
}

const SEVERITY: readonly Fit[] = ['fits', 'unknown', 'tight', 'too-small'];

/** What is reported of a need, and keeps nothing from running. */
export interface SpaceNote {
  readonly type: 'warning' | 'info';
  readonly pvc: string;
  readonly message: string;
}
