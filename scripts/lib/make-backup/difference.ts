// What must be written to turn one raw file into another.
import { open } from 'node:fs/promises';
import { KiB } from '../../../src/units.ts';
import type { NbdWrite } from './nbd-client.ts';

/** Writes for every 4 KiB that differ, zeroes as zeroes; both files are as long as `after`, or `before` is longer. */
export async function* differences(before: string, after: string): AsyncGenerator<NbdWrite> {
  const old = await open(before);
  const wanted = await open(after);
  try {
    const a = Buffer.alloc(STEP);
    const b = Buffer.alloc(STEP);
    const { size } = await wanted.stat();
    for (let offset = 0; offset < size; offset += STEP) {
      a.fill(0);
      await old.read(a, 0, STEP, offset);
      const { bytesRead } = await wanted.read(b, 0, STEP, offset);
      if (a.compare(b, 0, bytesRead, 0, bytesRead) !== 0) yield* pieces(a, b.subarray(0, bytesRead), offset);
    }
  } finally {
    await old.close();
    await wanted.close();
  }
}

const STEP = 1024 * KiB;
const PIECE = 4 * KiB;
const ZEROES = Buffer.alloc(PIECE);

function* pieces(a: Buffer, b: Buffer, offset: number): Generator<NbdWrite> {
  for (let at = 0; at < b.length; at += PIECE) {
    const piece = b.subarray(at, at + PIECE);
    if (piece.equals(a.subarray(at, at + piece.length))) continue;
    if (piece.equals(ZEROES)) yield { kind: 'zero', offset: offset + at, length: piece.length };
    else yield { kind: 'write', offset: offset + at, data: Buffer.from(piece) };
  }
}
