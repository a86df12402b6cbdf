// NBD on the wire: the numbers of the protocol, and its 64-bit integers. The codecs are beside it: wire-handshake.ts and
// wire-transmission.ts. Facts: NetworkBlockDevice/nbd, doc/proto.md, "Values". Everything is big-endian.

/** Handshake flags, S; the client flags C answers with have the same bits. */
export const HANDSHAKE_FLAG = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

export const TRANSMISSION_FLAG = { HAS_FLAGS: 1, READ_ONLY: 2, SEND_DF: 1 << 7, CAN_MULTI_CONN: 1 << 8 } as const;

export const OPTION = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

export const REPLY = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_INVALID: 0x8000_0003,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_TOO_BIG: 0x8000_0009,
} as const;

export const INFO = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

export const COMMAND = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

export const COMMAND_FLAG = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

export const CHUNK = { OFFSET_DATA: 1, BLOCK_STATUS: 5, ERROR: 0x8001 } as const;

export const NBD_ERROR = { EPERM: 1, EIO: 5, EINVAL: 22, ESHUTDOWN: 108 } as const;
export type NbdError = (typeof NBD_ERROR)[keyof typeof NBD_ERROR];

export const STATE = { HOLE: 1, ZERO: 2 } as const;

/** "MUST be no longer than 4096 bytes": names, descriptions, queries and messages. */
export const MAX_STRING = 4096;

/** 64 bits as a number; undefined beyond 2^53−1. By halves, since a bigint a request would cost more. */
export function readUint64(bytes: Buffer, at: number): number | undefined {
  const value = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `value` (0 … 2^53−1) as 64 bits. */
export function writeUint64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value % 2 ** 32, at + 4);
}
