// A complete small object: one plain GET, started over when it fails, so that no two versions are ever mixed.

import { tooLarge } from '../limits.ts';
import type { Attempt } from '../retry/attempt.ts';
import type { HighWater } from '../retry/high-water.ts';
import { TransientError } from '../retry/policy.ts';
import type { Sink } from '../store.ts';
import { pinOfHeaders } from './pin.ts';
import { checkCoding } from './range-answer.ts';
import type { ObjectReader } from './reader.ts';

export interface DocumentOptions {
  readonly maxBytes: number;
  readonly attempt: Attempt;
  readonly highWater: HighWater;
}

/** One attempt of `ObjectStore.get`. METADATA_INVALID as soon as it is known that the object is too large. */
export async function getDocument(reader: ObjectReader, key: string, options: DocumentOptions): Promise<Uint8Array> {
  const { attempt } = options;
  const where = reader.describe(key);
  const sink = new DocumentSink(where, options);
  await reader.get(
    key,
    {},
    {
      onHead: ({ status, headers }) => {
        attempt.answered();
        if (status < 200 || status > 299) return undefined;
        if (status !== 200 || pinOfHeaders(headers) === undefined) {
          throw new TransientError('the server sent something other than the object', {
            fewRetries: true,
            hint: reader.wrongServerHint,
          });
        }
        checkCoding(headers);
        const length = headers['content-length'];
        if (length !== undefined) sink.expect(Number(length));
        return sink;
      },
    },
    attempt.signal,
  );
  return sink.bytes();
}

/** Rooms of a document whose length was not said. */
const ROOM = 256 * 1024;

export class DocumentSink implements Sink {
  readonly #where: string;
  readonly #maxBytes: number;
  readonly #onBytes: (count: number) => void;
  readonly #full: Uint8Array[] = [];
  #room = new Uint8Array(0);
  #used = 0;
  #total = 0;

  constructor(where: string, { maxBytes, attempt, highWater }: DocumentOptions) {
    this.#where = where;
    this.#maxBytes = maxBytes;
    this.#onBytes = highWater.over(attempt);
  }

  expect(length: number): void {
    this.#check(length);
    this.#room = new Uint8Array(length);
  }

  room(): Uint8Array {
    if (this.#used === this.#room.length) {
      this.#full.push(this.#room);
      this.#room = new Uint8Array(ROOM);
      this.#used = 0;
    }
    return this.#room.subarray(this.#used);
  }

  filled(count: number): void {
    this.#used += count;
    this.#total += count;
    this.#onBytes(count);
    this.#check(this.#total);
  }

  bytes(): Uint8Array {
    const last = this.#room.subarray(0, this.#used);
    return this.#full.length === 0 ? last : Buffer.concat([...this.#full, last]);
  }

  #check(length: number): void {
    if (length > this.#maxBytes) throw tooLarge(this.#where, length, this.#maxBytes);
  }
}
