// A chain shown to qemu straight from its source: one NBD export a layer, each with a header of ours that names the export of
// its parent, as a rebase would have written it.
import { join } from 'node:path';
import type { CheckedChain } from '../chain/check-layers.ts';
import { affordableTasks } from '../chain/handles.ts';
import { toDatamoverError } from '../errors.ts';
import type { Export } from '../nbd/export.ts';
import { withNbdServer } from '../nbd/server.ts';
import { rebasedHead } from '../qcow2/rebased-head.ts';
import { type BlockGraph, layerNode, loneLayer, nbdNode, type Qcow2Node, toFilename } from '../qemu/graph.ts';
import type { ObjectStore } from '../store/store.ts';
import { MiB } from '../units.ts';
import { type DataReader, directReader } from './fetch/data-reader.ts';
import { RemoteLayer } from './fetch/remote-layer.ts';
import { Slots } from './fetch/slots.ts';
import { layerExport } from './layer-export.ts';
import { Metadata } from './tables/metadata.ts';

export interface ServeChainOptions {
  readonly store: ObjectStore;
  readonly chain: CheckedChain;
  /** A folder of ours with a short path, for the socket. */
  readonly folder: string;
  /** Ranged reads at a time, for what nobody waits for yet. */
  readonly concurrency: number;
  readonly onFetched: (count: number) => void;
  /**
   * Told when the source failed for good: its reader alone learns it then, unless this ends everything with `fail`. Left out,
   * everything ends with that error.
   */
  readonly onError?: (error: unknown, fail: (error: unknown) => void) => void;
  readonly signal: AbortSignal;
}

export interface ServedChain {
  /** The disk. */
  readonly node: Qcow2Node;
  /** Base first. */
  readonly layers: readonly RemoteLayer[];
  readonly metadata: Metadata;
  readonly slots: Slots;
  /** A layer's object as it is, its own header included. */
  layerNode(layer: RemoteLayer): BlockGraph;
  /** Lets `reader` read the layers' data while `work` runs. Several at a time have the same reader. */
  withReader<T>(reader: DataReader, work: () => Promise<T>): Promise<T>;
  /** The source failed for good. */
  fail(error: unknown): void;
  /** Ends all that is fetched and served, at the end of the work: `signal` is aborted. */
  stop(): void;
  /** Aborted with `signal`, and with the source's error. */
  readonly signal: AbortSignal;
}

/** Requests of qemu under way: 16 of 2 MiB; it bounds what unforeseen reads may take up in memory. */
const SERVER_BYTES = 32 * MiB;
/** Each layer's own, where QEMU would let it take up to 32 MiB. */
const CACHE = { l2CacheSize: MiB };
/** Each process that opens the chain connects once a layer. */
const PROCESSES = 8;

/**
 * Serves the chain while `work` runs. Rejects as `work` does, but with the source's DatamoverError when a read failed for
 * good (unless `onError` takes it): whatever qemu said then is a consequence.
 */
export async function withServedChain<T>(
  options: ServeChainOptions,
  work: (served: ServedChain) => Promise<T>,
): Promise<T> {
  const { store, chain, folder, concurrency, onFetched } = options;
  const failing = new AbortController();
  const ending = new AbortController();
  const fail = (error: unknown): void => {
    // What is stopped on purpose fails too, and must not pass for the cause.
    if (!signal.aborted) failing.abort(toDatamoverError(error, options.signal));
  };
  const layers = chain.layers.map((checked, index) => new RemoteLayer({ store, checked, index, onFetched }));
  const slots = new Slots(affordableTasks(concurrency, layers.length));
  const signal = AbortSignal.any([options.signal, failing.signal, ending.signal]);
  const onError = (error: unknown): void => (options.onError ?? fail)(error, fail);
  const socketPath = join(folder, 'nbd.sock');
  try {
    const metadata = await Metadata.open({ layers, slots, signal, onError });
    try {
      let reader: DataReader = directReader;
      let working = 0;
      const exports = exportsOf(layers, { metadata, socketPath, reader: () => reader });
      const limits = { serverBytes: SERVER_BYTES, connections: PROCESSES * (layers.length + 8) };
      const server = {
        exports,
        listen: { socketPath },
        limits,
        onError: (_: string, error: unknown) => onError(error),
      };
      return await withNbdServer({ ...server, signal }, async (_address, serverSignal) => {
        return await work({
          node: shownAs(layers.length - 1, socketPath),
          layers,
          metadata,
          slots,
          layerNode: ({ index }) => nbdNode(socketPath, layerName(index)),
          withReader: async (other, inner) => {
            reader = other;
            working += 1;
            try {
              return await inner();
            } finally {
              working -= 1;
              if (working === 0) reader = directReader;
            }
          },
          fail,
          stop: () => ending.abort(),
          signal: serverSignal,
        });
      });
    } finally {
      ending.abort();
      await metadata.ended();
    }
  } catch (error) {
    failing.signal.throwIfAborted();
    throw error;
  }
}

function exportsOf(
  layers: readonly RemoteLayer[],
  { metadata, socketPath, reader }: { metadata: Metadata; socketPath: string; reader: () => DataReader },
): ReadonlyMap<string, Export> {
  const exports = layers.flatMap((layer) => {
    const { index, header, where } = layer;
    const backing = index === 0 ? undefined : toFilename(shownAs(index - 1, socketPath));
    const head = rebasedHead(metadata.headOf(layer), header, { backing, where });
    return [
      layerExport({ name: chainName(index), layer, metadata, order: 'chain', head, reader }),
      layerExport({ name: layerName(index), layer, metadata, order: 'layer', reader }),
    ];
  });
  return new Map(exports.map((one) => [one.name, one]));
}

/** The disk as the layer at `index` shows it: on top of what its head names, which the base's does not. */
function shownAs(index: number, socketPath: string): Qcow2Node {
  const file = nbdNode(socketPath, chainName(index));
  return index === 0 ? loneLayer(file, CACHE) : layerNode(file, CACHE);
}

/** As a part of the chain. */
function chainName(index: number): string {
  return `${index}`;
}

/** Alone. */
function layerName(index: number): string {
  return `layer-${index}`;
}
