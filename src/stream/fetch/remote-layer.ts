// One layer where it lies: its pinned object, read by range.
import type { CheckedLayer } from '../../chain/check-layers.ts';
import type { Qcow2Header } from '../../qcow2/header.ts';
import { memorySink } from '../../store/memory-sink.ts';
import type { ObjectInfo, ObjectStore, Sink } from '../../store/store.ts';

export interface RemoteLayerOptions {
  readonly store: ObjectStore;
  readonly checked: CheckedLayer;
  /** Its place in the chain, 0 for the base. */
  readonly index: number;
  /** Told of bytes as they come. */
  readonly onFetched: (count: number) => void;
}

export class RemoteLayer {
  readonly index: number;
  readonly info: ObjectInfo;
  readonly header: Qcow2Header;
  /** Names it in messages. */
  readonly where: string;
  readonly #store: ObjectStore;
  readonly #onFetched: (count: number) => void;

  constructor({ store, checked, index, onFetched }: RemoteLayerOptions) {
    this.index = index;
    this.info = checked.info;
    this.header = checked.header;
    this.where = store.describe(checked.info.key);
    this.#store = store;
    this.#onFetched = onFetched;
  }

  /** Bytes of the object. */
  get size(): number {
    return this.info.size;
  }

  /** Reads [offset, offset + length) into `sink`. Rejects as `ObjectStore.read`. */
  async fetch(offset: number, length: number, sink: Sink, signal: AbortSignal): Promise<void> {
    const { key, etag, size } = this.info;
    await this.#store.read(
      key,
      { offset, length, etag, size, signal },
      {
        room: () => sink.room(),
        filled: (count) => {
          this.#onFetched(count);
          return sink.filled(count);
        },
      },
    );
  }

  /** Reads into `room`, as many bytes as it has, from `offset` on. Rejects as `ObjectStore.read`. */
  async fetchInto(room: Uint8Array, offset: number, signal: AbortSignal): Promise<void> {
    if (room.length === 0) return;
    const sink = memorySink((from) => room.subarray(from));
    await this.fetch(offset, room.length, sink, signal);
  }

  /** The bytes [offset, offset + length) in memory of their own. Rejects as `ObjectStore.read`. */
  async bytes(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length);
    await this.fetchInto(bytes, offset, signal);
    return bytes;
  }
}
