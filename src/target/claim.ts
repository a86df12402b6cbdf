// The claim: 4 KiB at offset 0 of a device that is being restored. It tells a later run whose work lies there, and
// while it is there nothing can boot from the device or mount it.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
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

/** What excuses a device that is not blank: the same plan, PVC and disk size, whichever run it was. */
export type ClaimIdentity = Pick<Claim, 'planId' | 'pvc' | 'diskSize'>;

/**
 * The claim's block: magic (32 bytes), version and payload length (u32 LE each), payload (JSON in ASCII), zeros, and in
 * the last four bytes the CRC-32 of all before. The payload ends before byte 510, so that neither a boot signature nor
 * any file system's magic beyond it can come out of a name. Throws RangeError when plan and run id are too long for it.
 */
export function encodeClaim(claim: Claim): Uint8Array {
  const payload = Buffer.from(toAscii(JSON.stringify({ ...claim, pvc: shortName(claim.pvc) })), 'latin1');
  if (payload.length > MAX_PAYLOAD) throw new RangeError(`a claim of ${payload.length} bytes is too long`);
  const block = Buffer.alloc(CLAIM_SIZE);
  block.write(MAGIC, 0, 'latin1');
  block.writeUInt32LE(VERSION, VERSION_OFFSET);
  block.writeUInt32LE(payload.length, LENGTH_OFFSET);
  payload.copy(block, PAYLOAD_OFFSET);
  block.writeUInt32LE(crc32(block.subarray(0, CRC_OFFSET)), CRC_OFFSET);
  return block;
}

/** The claim in the first 4 KiB of a device; undefined when there is none, or it is torn or of another version. */
export function parseClaim(head: Uint8Array): Claim | undefined {
  if (head.length < CLAIM_SIZE) return undefined;
  const block = Buffer.from(head.buffer, head.byteOffset, CLAIM_SIZE);
  if (block.toString('latin1', 0, MAGIC.length) !== MAGIC) return undefined;
  if (block.readUInt32LE(CRC_OFFSET) !== crc32(block.subarray(0, CRC_OFFSET))) return undefined;
  const length = block.readUInt32LE(LENGTH_OFFSET);
  if (block.readUInt32LE(VERSION_OFFSET) !== VERSION || length > MAX_PAYLOAD) return undefined;
  const parsed = schema.safeParse(parseJson(block.toString('latin1', PAYLOAD_OFFSET, PAYLOAD_OFFSET + length)));
  return parsed.success ? parsed.data : undefined;
}

/** Whether a claim was made for this plan, PVC and disk size. */
export function isClaimOf(claim: Claim, identity: ClaimIdentity): boolean {
  return (
    claim.planId === identity.planId && claim.pvc === shortName(identity.pvc) && claim.diskSize === identity.diskSize
  );
}

function shortName(pvc: string): string {
  return toAscii(pvc).length <= MAX_NAME ? pvc : `sha256:${createHash('sha256').update(pvc).digest('hex')}`;
}

function toAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not a payload of ours, although the CRC fits: no claim.
    return undefined;
  }
}

const MAGIC = 'kubevirt-datamover claim\n\0\0\0\0\0\0\0';
const VERSION = 1;
const VERSION_OFFSET = 32;
const LENGTH_OFFSET = 36;
const PAYLOAD_OFFSET = 40;
const MAX_PAYLOAD = 510 - PAYLOAD_OFFSET;
const MAX_NAME = 128;
const CRC_OFFSET = CLAIM_SIZE - 4;
