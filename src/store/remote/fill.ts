// A body that comes as a stream, into a sink: the way through a proxy.
import type { Readable } from 'node:stream';
import { abortable } from '../../concurrency.ts';
import type { Sink } from '../store.ts';

/** Rejects as the stream or the sink fails, or with the signal's reason. The caller destroys the stream. */
export async function fillFromStream(body: Readable, sink: Sink, signal: AbortSignal): Promise<void> {
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    // Bytes may be ready in the stream when the attempt is over, and its sink is another's then.
    signal.throwIfAborted();
    await fill(sink, chunk, signal);
  }
}

async function fill(sink: Sink, chunk: Uint8Array, signal: AbortSignal): Promise<void> {
  for (let taken = 0; taken < chunk.length; ) {
    const room = sink.room();
    const piece = chunk.subarray(taken, taken + room.length);
    room.set(piece);
    taken += piece.length;
    const busy = sink.filled(piece.length);
    if (busy !== undefined) await abortable(busy, signal);
  }
}
