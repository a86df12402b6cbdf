// How the bytes of a layer are come by: through a window, a block cache, or directly. What a layer's export is made of.
import type { ExportData } from '../../nbd/export.ts';
import type { RemoteLayer } from './remote-layer.ts';

/** A read that has begun, of as much as one place holds. */
export interface Begun {
  /** Where it ends in the layer; the rest is to be begun by itself. */
  readonly end: number;
  readonly data: ExportData | Promise<ExportData>;
}

export interface DataReader {
  /**
   * Begins to read from `offset` on, at most to `end`. Never waits for another read; a promise that it gives rejects
   * soon after `signal` was aborted.
   */
  begin(layer: RemoteLayer, offset: number, end: number, signal: AbortSignal): Begun;
}

/** Fetches what is asked for, when it is asked for, into memory of its own. */
export const directReader: DataReader = {
  begin: (layer, offset, end, signal) => ({
    end,
    data: layer.bytes(offset, end - offset, signal).then((bytes) => ({ chunks: [bytes] })),
  }),
};
