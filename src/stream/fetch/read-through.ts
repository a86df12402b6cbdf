// A whole layer from its first byte to its last: parts are fetched several at a time and handed on in order.
import { memorySink } from '../../store/memory-sink.ts';
import { MiB } from '../../units.ts';
import type { Arena, Memory } from './arena.ts';
import type { RemoteLayer } from './remote-layer.ts';

export interface ReadThroughOptions {
  /** Memory for the parts on their way; it bounds how many there are. */
  readonly arena: Arena;
  /** Parts at a time. */
  readonly concurrency: number;
  /** Bytes of a part; `PART_SIZE`, or what the arena has for each, when that is less. */
  readonly partSize: number | undefined;
  readonly signal: AbortSignal;
}

const PART_SIZE = 4 * MiB;

interface Part {
  readonly memory: Memory;
  readonly fetched: Promise<void>;
}

/** Calls `take` with views that are gone when it returns. Rejects as `ObjectStore.read`, after all parts have ended. */
export async function readThrough(
  layer: RemoteLayer,
  options: ReadThroughOptions,
  take: (bytes: Uint8Array) => void,
): Promise<void> {
  const { arena, concurrency } = options;
  const partSize = Math.min(options.partSize ?? PART_SIZE, Math.floor(arena.size / concurrency), arena.size);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const parts: Part[] = [];
  let next = 0;
  try {
    while (next < layer.size || parts.length > 0) {
      while (next < layer.size && parts.length < concurrency) {
        const part = beginPart(layer, { arena, signal, offset: next, length: Math.min(partSize, layer.size - next) });
        if (part === undefined) break;
        parts.push(part);
        next += part.memory.length;
      }
      const [first] = parts;
      if (first === undefined) throw new TypeError('no memory for a single part');
      await first.fetched;
      for (const bytes of first.memory.slice(0, first.memory.length)) take(bytes);
      parts.shift();
      first.memory.free();
    }
  } finally {
    stop.abort();
    await Promise.allSettled(parts.map(({ fetched }) => fetched));
    for (const { memory } of parts) memory.free();
  }
}

function beginPart(
  layer: RemoteLayer,
  { arena, signal, offset, length }: { arena: Arena; signal: AbortSignal; offset: number; length: number },
): Part | undefined {
  const memory = arena.take(length);
  if (memory === undefined) return undefined;
  const sink = memorySink((from) => memory.room(from));
  const fetched = layer.fetch(offset, length, sink, signal);
  // Awaited in its turn; until then a failure must not count as unhandled.
  fetched.catch(() => {});
  return { memory, fetched };
}
