// The codecs of the handshake, pure. Facts: doc/proto.md, "Fixed newstyle negotiation", "Option types", "Option reply
// types". C: the client sends it, S: the server does.
import { INFO, MAX_STRING, writeUint64 } from './wire.ts';

const NBD_MAGIC = 0x4e42444d41474943n; // 'NBDMAGIC'
const OPTION_MAGIC = 0x49484156454f5054n; // 'IHAVEOPT'
const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;

export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_HEADER_BYTES = 16;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** S: NBDMAGIC, IHAVEOPT, 16 bits of handshake flags. */
export function encodeGreeting(flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(18);
  bytes.writeBigUInt64BE(NBD_MAGIC, 0);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
  bytes.writeUInt16BE(flags, 16);
  return bytes;
}

/** C: IHAVEOPT, 32 bits option, 32 bits length of the data that follow. Undefined when the magic is wrong. */
export function decodeOptionHeader(bytes: Buffer): { readonly option: number; readonly length: number } | undefined {
  if (bytes.readBigUInt64BE(0) !== OPTION_MAGIC) return undefined;
  return { option: bytes.readUInt32BE(8), length: bytes.readUInt32BE(12) };
}

/** S: the reply's magic, the option that it answers, 32 bits type, 32 bits length, data. */
export function encodeOptionReply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const bytes = Buffer.allocUnsafe(20 + data.length);
  bytes.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(data.length, 16);
  bytes.set(data, 20);
  return bytes;
}

/** S: the answer to EXPORT_NAME: 64 bits size, 16 bits transmission flags, 124 zeroes unless NO_ZEROES was agreed. */
export function encodeExportNameReply(size: number, flags: number, zeroes: boolean): Buffer {
  const bytes = Buffer.alloc(zeroes ? 134 : 10);
  writeUint64(bytes, size, 0);
  bytes.writeUInt16BE(flags, 8);
  return bytes;
}

/** S, in REPLY.INFO: 16 bits INFO.EXPORT, 64 bits size, 16 bits transmission flags. */
export function encodeExportInfo(size: number, flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  bytes.writeUInt16BE(INFO.EXPORT, 0);
  writeUint64(bytes, size, 2);
  bytes.writeUInt16BE(flags, 10);
  return bytes;
}

/** S, in REPLY.INFO: 16 bits INFO.NAME or INFO.DESCRIPTION, text. */
export function encodeTextInfo(type: typeof INFO.NAME | typeof INFO.DESCRIPTION, text: string): Buffer {
  const bytes = Buffer.allocUnsafe(2 + Buffer.byteLength(text));
  bytes.writeUInt16BE(type, 0);
  bytes.write(text, 2);
  return bytes;
}

/** S, in REPLY.INFO: 16 bits INFO.BLOCK_SIZE, then minimum, preferred and maximum of 32 bits each. */
export function encodeBlockSizeInfo(minimum: number, preferred: number, maximum: number): Buffer {
  const bytes = Buffer.allocUnsafe(14);
  bytes.writeUInt16BE(INFO.BLOCK_SIZE, 0);
  bytes.writeUInt32BE(minimum, 2);
  bytes.writeUInt32BE(preferred, 6);
  bytes.writeUInt32BE(maximum, 10);
  return bytes;
}

/** S, in REPLY.SERVER: 32 bits length of the name, the name, the description up to the end. */
export function encodeListEntry(name: string, description: string): Buffer {
  const nameLength = Buffer.byteLength(name);
  const bytes = Buffer.allocUnsafe(4 + nameLength + Buffer.byteLength(description));
  bytes.writeUInt32BE(nameLength, 0);
  bytes.write(name, 4);
  bytes.write(description, 4 + nameLength);
  return bytes;
}

/** S, in REPLY.META_CONTEXT: 32 bits id, name. */
export function encodeMetaContext(id: number, name: string): Buffer {
  const bytes = Buffer.allocUnsafe(4 + Buffer.byteLength(name));
  bytes.writeUInt32BE(id, 0);
  bytes.write(name, 4);
  return bytes;
}

/** A string of the protocol: UTF-8, no NUL, at most MAX_STRING bytes. Undefined when it is not such a string. */
export function decodeString(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_STRING || bytes.includes(0)) return undefined;
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined; // not UTF-8: what `undefined` says
  }
}

/** C, data of INFO and GO: 32 bits length of the name, name, 16 bits count, that many 16-bit information requests. */
export function decodeExportChoice(
  data: Buffer,
): { readonly name: string; readonly requests: readonly number[] } | undefined {
  if (data.length < 6) return undefined;
  const nameEnd = 4 + data.readUInt32BE(0);
  if (nameEnd > data.length - 2) return undefined;
  const count = data.readUInt16BE(nameEnd);
  const name = decodeString(data.subarray(4, nameEnd));
  if (name === undefined || data.length !== nameEnd + 2 + 2 * count) return undefined;
  return { name, requests: Array.from({ length: count }, (_, index) => data.readUInt16BE(nameEnd + 2 + 2 * index)) };
}

/** C, data of LIST_META_CONTEXT and SET_META_CONTEXT: a string (32 bits length, text), 32 bits count, that many strings. */
export function decodeMetaContextQuery(
  data: Buffer,
): { readonly name: string; readonly queries: readonly string[] } | undefined {
  const first = takeString(data, 0);
  if (first === undefined || first.end + 4 > data.length) return undefined;
  const count = data.readUInt32BE(first.end);
  const queries: string[] = [];
  let end = first.end + 4;
  while (queries.length < count) {
    const query = takeString(data, end);
    if (query === undefined) return undefined;
    queries.push(query.text);
    end = query.end;
  }
  return end === data.length ? { name: first.text, queries } : undefined;
}

function takeString(data: Buffer, at: number): { readonly text: string; readonly end: number } | undefined {
  if (at + 4 > data.length) return undefined;
  const end = at + 4 + data.readUInt32BE(at);
  if (end > data.length) return undefined;
  const text = decodeString(data.subarray(at + 4, end));
  return text === undefined ? undefined : { text, end };
}
