// The claim: 4 KiB at offset 0 of a device that is being restored, or all of a smaller device. It tells a later run whose
// work lies there, and while it is there nothing can boot from the device or mount it.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { parseJson } from '../parse-json.ts';
import { KiB } from '../units.ts';

export const CLAIM_SIZE = 4 * KiB;

const schema = z.strictObject({
  planId: z.string().min(1),
  /** The disk's name in the plan; a long one by its SHA-256. */
  pvc: z.string().min(1),
  /** The disk's virtual size in bytes. */
  diskSize: z.int().nonnegative(),
  /** The run that wrote it. */
  runId: z.string(),
});

export type Claim = Readonly<z.infer<typeof schema>>;

/** What excuses a device that is not blank: the same plan, PVC and disk size (any, while that is unknown), whichever run it was. */
export type ClaimIdentity = Pick<Claim, 'planId' | 'pvc'> & { readonly diskSize: number | undefined };

/**
 * The claim's block for a device of `capacity` bytes (a multiple of 512): magic (32 bytes), version and payload length
 * (u32 LE each), payload (JSON in ASCII), zeros, and in the last four bytes the CRC-32 of all before. A device under
 * 4 KiB has a block as large as itself, with the CRC at 504. Payload and CRC there end before byte 510, so that neither a
 * boot signature nor any file system's magic beyond it can result from a name. Throws RangeError when plan and run id
 * are too long for it.
 */
export function encodeClaim(claim: Claim, capacity: number = CLAIM_SIZE): Uint8Array {
  const block = Buffer.alloc(Math.min(CLAIM_SIZE, capacity));
  const crcOffset = crcOffsetOf(block);
  const payload = Buffer.from(toAscii(JSON.stringify({ ...claim, pvc: shortName(claim.pvc) })), 'latin1');
  if (payload.length > maxPayload(crcOffset)) throw new RangeError(`a claim of ${payload.length} bytes is too long`);
  block.write(MAGIC, 0, 'latin1');
  block.writeUInt32LE(VERSION, VERSION_OFFSET);
  block.writeUInt32LE(payload.length, LENGTH_OFFSET);
  payload.copy(block, PAYLOAD_OFFSET);
  block.writeUInt32LE(crc32(block.subarray(0, crcOffset)), crcOffset);
  return block;
}

/**
 * The claim in the first 4 KiB of a device, or in all of a smaller one; undefined when there is none, or it is torn or of
 * another version.
 */
export function parseClaim(head: Uint8Array): Claim | undefined {
  if (head.length < SMALLEST) return undefined;
  const block = Buffer.from(head.buffer, head.byteOffset, Math.min(CLAIM_SIZE, head.length));
  const crcOffset = crcOffsetOf(block);
  if (block.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  if (block.readUInt32LE(crcOffset) !== crc32(block.subarray(0, crcOffset))) return undefined;
  const length = block.readUInt32LE(LENGTH_OFFSET);
  if (block.readUInt32LE(VERSION_OFFSET) !== VERSION || length > maxPayload(crcOffset)) return undefined;
  const parsed = schema.safeParse(parseJson(block.toString('latin1', PAYLOAD_OFFSET, PAYLOAD_OFFSET + length)));
  return parsed.success ? parsed.data : undefined;
}

/** Whether a claim was made for this plan, PVC and disk size. */
export function isClaimOf(claim: Claim, identity: ClaimIdentity): boolean {
  const { planId, pvc, diskSize = claim.diskSize } = identity;
  return claim.planId === planId && claim.pvc === shortName(pvc) && claim.diskSize === diskSize;
}

function shortName(pvc: string): string {
  return toAscii(pvc).length <= MAX_NAME ? pvc : `sha256:${createHash('sha256').update(pvc).digest('hex')}`;
}

function toAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const MAGIC = 'kubevirt-datamover claim\n\0\0\0\0\0\0\0';
const VERSION = 1;
const VERSION_OFFSET = 32;
const LENGTH_OFFSET = 36;
const PAYLOAD_OFFSET = 40;
const MAX_NAME = 128;
/** Bytes of the smallest block: a sector. */
const SMALLEST = 512;
/** Of a block under 4 KiB: the CRC, whose bytes may have any value, must not be taken for a boot signature either. */
const SHORT_CRC_OFFSET = 504;

function crcOffsetOf({ length }: Uint8Array): number {
  return length < CLAIM_SIZE ? SHORT_CRC_OFFSET : length - 4;
}

function maxPayload(crcOffset: number): number {
  return Math.min(510, crcOffset) - PAYLOAD_OFFSET;
}
