// Deterministic bytes and places: what a step writes follows from seed, disk and checkpoint alone.
import { createCipheriv, createHash } from 'node:crypto';
import { KiB, MiB } from '../../../src/units.ts';
import type { NbdWrite } from './nbd-client.ts';
import type { Writes } from './shape.ts';

const UNIT = { scattered: 64 * KiB, runs: MiB } as const;
/** As long as the longest write. */
const ZEROES = Buffer.alloc(MiB);

export interface Step {
  /** Different for each step of each disk. */
  readonly key: string;
  /** Bytes of the disk. */
  readonly size: number;
  /** Whether half of what is written compresses well. */
  readonly compressible: boolean;
  /** Whether the first and the last 64 KiB are written too. */
  readonly edges: boolean;
}

/** The writes of one step, in order: data, then zeroes, then discards, each by offset. */
export function* stepWrites(step: Step, writes: Writes & { readonly bytes: number }): Generator<NbdWrite> {
  const unit = UNIT[writes.pattern ?? 'scattered'];
  const random = randomNumbers(step.key);
  const data = new Set(choose(random, { ...step, ...writes, unit }));
  if (step.edges) {
    data.add(0);
    data.add(Math.floor((step.size - 1) / unit) * unit);
  }
  for (const offset of [...data].sort((a, b) => a - b)) {
    yield { kind: 'write', offset, data: bytesAt(step, offset, Math.min(unit, step.size - offset)) };
  }
  for (const [kind, bytes] of [['zero', writes.zero ?? 0] as const, ['trim', writes.discard ?? 0] as const]) {
    for (const offset of choose(random, { ...step, ...writes, bytes, unit })) {
      yield { kind, offset, length: Math.min(unit, step.size - offset) };
    }
  }
}

/** Never all zero: AES in counter mode, keyed by the step and counted by the offset. */
function bytesAt({ key, compressible }: Step, offset: number, length: number): Uint8Array {
  const counter = Buffer.alloc(16);
  counter.writeBigUInt64BE(BigInt(offset / 16), 8);
  const cipher = createCipheriv('aes-128-ctr', createHash('sha256').update(key).digest().subarray(0, 16), counter);
  const bytes = cipher.update(ZEROES.subarray(0, length));
  if (compressible) for (let at = 2 * KiB; at < length; at += 4 * KiB) bytes.fill(0x5a, at, at + 2 * KiB);
  return bytes;
}

interface Choice extends Pick<Writes, 'region'> {
  readonly bytes: number;
  readonly size: number;
  readonly unit: number;
}

/** Offsets of as many different units as `bytes` needs, in order: a shuffle that is begun and not finished. */
function choose(random: () => number, { bytes, region = [0, Infinity], size, unit }: Choice): number[] {
  const first = Math.ceil(region[0] / unit);
  const total = Math.max(0, Math.ceil(Math.min(region[1], size) / unit) - first);
  const count = Math.min(total, Math.ceil(bytes / unit));
  const moved = new Map<number, number>();
  const offsets: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const pick = i + Math.floor(random() * (total - i));
    offsets.push((first + (moved.get(pick) ?? pick)) * unit);
    moved.set(pick, moved.get(i) ?? i);
  }
  return offsets.sort((a, b) => a - b);
}

/** Numbers in [0, 1) from a hash counted up: slow, but a step asks for thousands, not millions. */
function randomNumbers(key: string): () => number {
  let count = 0;
  return () => {
    count += 1;
    return createHash('sha256').update(`${key} ${count}`).digest().readUInt32BE(0) / 2 ** 32;
  };
}
