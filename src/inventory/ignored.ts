// Collects what a listing passes over because it is not part of a backup, for one line of the log about each kind.
import { listNames } from '../catalog/names.ts';
import type { Progress } from '../progress.ts';

export class Ignored {
  readonly #places = new Set<string>();
  readonly #documents = new Set<string>();

  /** A directory or an object that other programs, or a VM or backup that was deleted, left behind. */
  place(key: string): void {
    this.#places.add(key);
  }

  /** A document with empty entries (see catalog/empty-entries.ts). */
  emptyEntries(key: string): void {
    this.#documents.add(key);
  }

  report(progress: Progress): void {
    if (this.#places.size > 0) {
      progress.report({ type: 'info', message: `ignored, not part of a backup: ${sorted(this.#places)}` });
    }
    if (this.#documents.size > 0) {
      const message = `ignored empty entries, left behind by the uploader, in: ${sorted(this.#documents)}`;
      progress.report({ type: 'info', message });
    }
  }
}

function sorted(keys: ReadonlySet<string>): string {
  return listNames([...keys].sort());
}
