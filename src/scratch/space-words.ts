// What is said of a file system that has too little space, may have, or does not report what it has.
import type { Problem } from '../errors.ts';
import { count, formatBytes } from '../units.ts';
import { fitOf, type SpaceNeed, type SpaceNote } from './space.ts';

export interface SpaceWords {
  readonly headroomPercent: number;
  /** Flags that help beside a larger directory: `--strategy stream`. */
  readonly alternatives: readonly string[];
}

/** SCRATCH_FULL or TARGET_FULL for what cannot fit, with both numbers. */
export function spaceProblem(need: SpaceNeed, { alternatives }: SpaceWords): Problem | undefined {
  if (fitOf(need) !== 'too-small') return undefined;
  const why = need.missingFiles > 0 ? withoutInodes(need) : withoutBytes(need);
  if (need.where === 'target') {
    const hint = 'free space on that file system, or restore to another one';
    return { pvc: need.pvc, code: 'TARGET_FULL', message: `target ${need.path}: ${why}`, hint };
  }
  const hint = ['free space there', 'name a larger directory with --scratch', ...alternatives].join(', or ');
  return { code: 'SCRATCH_FULL', message: `scratch ${need.path}: ${why}`, hint };
}

function withoutBytes({ pvc, certain, available = 0 }: SpaceNeed): string {
  return `not enough space: PVC ${pvc} needs ${exactly(certain)}, ${exactly(available)} available`;
}

function withoutInodes({ pvc, missingFiles }: SpaceNeed): string {
  const more = count(missingFiles, 'more file');
  return `not enough inodes: PVC ${pvc} needs ${more} than can be created there (df -i shows the limit)`;
}

/** A warning where only headroom may be missing, an info where the file system does not report its free space. */
export function noteOf(need: SpaceNeed, { headroomPercent }: SpaceWords): SpaceNote | undefined {
  const { pvc, where, path, certain, wanted, available = 0 } = need;
  const fit = fitOf(need);
  const place = `${where} ${path}`;
  if (fit === 'tight') {
    const most = `up to ${exactly(wanted)} needed${where === 'scratch' ? ` with ${headroomPercent} % headroom` : ''}`;
    const least = certain === 0 ? '' : `at least ${exactly(certain)}, `;
    const message = `${place}: the file system may become full: ${least}${most}, ${exactly(available)} available`;
    return { type: 'warning', pvc, message };
  }
  if (fit !== 'unknown') return undefined;
  const needed = where === 'scratch' ? exactly(wanted) : `up to ${exactly(wanted)}`;
  return { type: 'info', pvc, message: `${place}: the file system does not report its free space; ${needed} needed` };
}

/** Bytes for people and for scripts. */
export function exactly(bytes: number): string {
  return `${formatBytes(bytes)} (${bytes} bytes)`;
}
