// The codecs of the transmission phase, pure. Facts: doc/proto.md, "Request message", "Simple reply message", "Structured
// reply chunk message". C: the client sends it, S: the server does.
import { CHUNK, MAX_STRING, type NbdError, readUint64, writeUint64 } from './wire.ts';

const REQUEST_MAGIC = 0x25609513;
const SIMPLE_REPLY_MAGIC = 0x67446698;
const STRUCTURED_REPLY_MAGIC = 0x668e33ef;
const CHUNK_FLAG_DONE = 1;

export const REQUEST_BYTES = 28;

/** A request's cookie ("handle"), given back as it came; two halves, since a bigint a request costs more. */
export interface Cookie {
  readonly high: number;
  readonly low: number;
}

export interface Request {
  readonly flags: number;
  readonly type: number;
  readonly cookie: Cookie;
  /** Undefined when it is beyond 2^53−1, where no export reaches. */
  readonly offset: number | undefined;
  readonly length: number;
}

/** C: 32 bits magic, 16 flags, 16 type, 64 cookie, 64 offset, 32 length. Undefined when the magic is wrong. */
export function decodeRequest(bytes: Buffer): Request | undefined {
  if (bytes.readUInt32BE(0) !== REQUEST_MAGIC) return undefined;
  return {
    flags: bytes.readUInt16BE(4),
    type: bytes.readUInt16BE(6),
    cookie: { high: bytes.readUInt32BE(8), low: bytes.readUInt32BE(12) },
    offset: readUint64(bytes, 16),
    length: bytes.readUInt32BE(24),
  };
}

/** S: 32 bits magic, 32 bits error (0: none), 64 bits cookie; the data of a READ follow. */
export function encodeSimpleReply(cookie: Cookie, error: NbdError | 0): Buffer {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeUInt32BE(cookie.high, 8);
  bytes.writeUInt32BE(cookie.low, 12);
  return bytes;
}

/** S: the only chunk of a READ's reply: header, 64 bits offset; `length` bytes of data follow. */
export function encodeDataChunkHeader(cookie: Cookie, offset: number, length: number): Buffer {
  const bytes = allocateChunk(cookie, CHUNK.OFFSET_DATA, 8, length);
  writeUint64(bytes, offset, 20);
  return bytes;
}

/** S: the only chunk of a failed reply: header, 32 bits error, 16 bits length of the message, message (cut to MAX_STRING). */
export function encodeErrorChunk(cookie: Cookie, error: NbdError, message: string): Buffer {
  const text = Buffer.allocUnsafe(Math.min(MAX_STRING, Buffer.byteLength(message)));
  const textLength = text.write(message); // whole characters only
  const bytes = allocateChunk(cookie, CHUNK.ERROR, 6 + textLength);
  bytes.writeUInt32BE(error, 20);
  bytes.writeUInt16BE(textLength, 24);
  text.copy(bytes, 26, 0, textLength);
  return bytes;
}

/** S: the only chunk of a BLOCK_STATUS's reply: header, 32 bits context id, then 32 bits length and 32 bits state each. */
export function encodeBlockStatusChunk(
  cookie: Cookie,
  contextId: number,
  extents: readonly { readonly length: number; readonly state: number }[],
): Buffer {
  const bytes = allocateChunk(cookie, CHUNK.BLOCK_STATUS, 4 + 8 * extents.length);
  bytes.writeUInt32BE(contextId, 20);
  for (const [index, { length, state }] of extents.entries()) {
    bytes.writeUInt32BE(length, 24 + 8 * index);
    bytes.writeUInt32BE(state, 28 + 8 * index);
  }
  return bytes;
}

/** A structured reply chunk, its header written: 32 bits magic, 16 flags, 16 type, 64 cookie, 32 length of all that follows. */
function allocateChunk(cookie: Cookie, type: number, payload: number, following = 0): Buffer {
  const bytes = Buffer.allocUnsafe(20 + payload);
  bytes.writeUInt32BE(STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(CHUNK_FLAG_DONE, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeUInt32BE(cookie.high, 8);
  bytes.writeUInt32BE(cookie.low, 12);
  bytes.writeUInt32BE(payload + following, 16);
  return bytes;
}
