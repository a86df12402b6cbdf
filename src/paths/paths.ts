// The one list of what a run reads and what it writes, so that no path that is written is one that is read, or another one
// that is written. Holds paths alone; check.ts compares what they lead to.
import type { Problem } from '../errors.ts';
import type { ReadPath, WrittenKind, WrittenPath } from './uses.ts';

/** What a run reads and writes, as far as it is known; filled by whoever learns of a path. */
export class Paths {
  readonly #read = new Map<string, ReadPath>();
  readonly #written = new Map<string, WrittenPath>();

  /** Adds a path; one that is known already, for the same purpose, is replaced. */
  reads(...paths: readonly ReadPath[]): void {
    for (const path of paths) this.#read.set(`${path.what}\0${path.path}`, path);
  }

  /** As `reads`, for what is written, replaced or removed. */
  writes(...paths: readonly WrittenPath[]): void {
    for (const path of paths) this.#written.set(`${path.kind}\0${path.pvc ?? ''}\0${path.path}`, path);
  }

  /**
   * Every conflict among the paths known by now: TARGET_BUSY for a target that holds what is read or written, PLAN_INVALID
   * for any other target, SCRATCH_UNUSABLE for a work directory, USAGE for the rest. `kind` gives those of one kind alone.
   */
  async problems(kind?: WrittenKind): Promise<Problem[]> {
    const written = [...this.#written.values()];
    if (!written.some((path) => kind === undefined || path.kind === kind)) return [];
    const { findConflicts } = await import('./check.ts');
    return await findConflicts({ read: [...this.#read.values()], written, kind });
  }
}
