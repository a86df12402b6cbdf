// What the records of a journal say, taken together.

import type { KeptFrom } from '../pvc-state.ts';
import type { ByteRange } from '../units.ts';
import type { JournalRecord } from './journal-record.ts';

/** A fetched range of a layer's object and the CRC-32 of its bytes. */
export interface Part extends ByteRange {
  readonly crc: number;
}

/** The very object version that a layer's parts belong to. */
export interface LayerIdentity {
  readonly disk: string;
  readonly index: number;
  readonly object: string;
  readonly size: number;
  readonly etag: string;
}

/** The saved first bytes of a layer, from before they were rewritten. */
export interface SavedHead {
  readonly length: number;
  readonly crc: number;
}

/** A PVC whose target holds all of the disk, or will once the last bytes are written. */
export interface CompletedDisk {
  readonly disk: string;
  /** Of which versions of which objects it was made: equal for the same ones in the same order. */
  readonly chain: string;
  /** Who the target was, as its room describes it. */
  readonly target: Readonly<Record<string, unknown>>;
  /** Undefined in a journal that was written before it recorded this. */
  readonly restoredBy?: KeptFrom | undefined;
  /** Recorded before the last bytes were written: the run may have stopped before it wrote them. */
  readonly expected?: true | undefined;
  /** Of a file: its inode number. */
  readonly inode?: string | undefined;
  /** Bytes. */
  readonly virtualSize: number;
  /** Bytes of a file that is not as long as the disk: a qcow2 image. */
  readonly length?: number | undefined;
  /** Ranges of the target, and the CRC-32 of their bytes one after the other. */
  readonly windows: readonly ByteRange[];
  readonly crc: number;
}

/** What a journal tells. */
export interface Recorded {
  /** Whether a part or a completed PVC is recorded: a reason to keep scratch. */
  readonly hasProgress: boolean;
  completed(disk: string): CompletedDisk | undefined;
}

/** A journal that is looked into and not written. */
export interface ReadJournal extends Recorded {
  /** The parts recorded of this very object version. */
  parts(identity: LayerIdentity): readonly Part[];
}

interface LayerState {
  readonly identity: LayerIdentity;
  readonly parts: Part[];
  head: SavedHead | undefined;
}

/** What the records say, taken together. */
export class Records implements ReadJournal {
  readonly #layers = new Map<number, LayerState>();
  readonly #completed = new Map<string, CompletedDisk>();

  constructor(records: readonly JournalRecord[]) {
    for (const record of records) this.add(record);
  }

  get hasProgress(): boolean {
    return this.#completed.size > 0 || [...this.#layers.values()].some(({ parts }) => parts.length > 0);
  }

  completed(disk: string): CompletedDisk | undefined {
    return this.#completed.get(disk);
  }

  parts(identity: LayerIdentity): readonly Part[] {
    return this.layerOf(this.idOf(identity))?.parts ?? [];
  }

  /** Of the newest record of this layer, if that is of the same object version. */
  idOf(identity: LayerIdentity): number | undefined {
    const [id, known] =
      [...this.#layers].findLast(
        ([, layer]) => layer.identity.disk === identity.disk && layer.identity.index === identity.index,
      ) ?? [];
    const same =
      known !== undefined &&
      known.identity.object === identity.object &&
      known.identity.size === identity.size &&
      known.identity.etag === identity.etag;
    return same ? id : undefined;
  }

  layerOf(id: number | undefined): LayerState | undefined {
    return id === undefined ? undefined : this.#layers.get(id);
  }

  /** One that no layer has. */
  freeId(): number {
    return Math.max(-1, ...this.#layers.keys()) + 1;
  }

  add(record: JournalRecord): void {
    switch (record.t) {
      case 'layer': {
        const { t: _, id, ...identity } = record;
        this.#layers.set(id, { identity, parts: [], head: undefined });
        return;
      }
      case 'part': {
        const { t: _, layer, ...part } = record;
        this.#layers.get(layer)?.parts.push(part);
        return;
      }
      case 'head': {
        const layer = this.#layers.get(record.layer);
        if (layer !== undefined) layer.head = { length: record.length, crc: record.crc };
        return;
      }
      case 'reopened':
        this.#completed.delete(record.disk);
        return;
      case 'finished': {
        const { t: _, ...completed } = record;
        this.#completed.set(record.disk, completed);
        return;
      }
    }
  }
}
