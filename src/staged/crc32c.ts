// CRC-32C (Castagnoli; RFC 3720, appendix B.4), which neither OpenSSL nor zlib computes: eight bytes at a time by tables.

/**
 * The source of a function that gives an object with `update(bytes)` and `digest()`, as those of `createHash`: for threads that are started
 * from a string.
 */
export const CRC32C = `() => {
  const table = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    table[byte] = value;
  }
  for (let at = 256; at < table.length; at += 1) table[at] = (table[at - 256] >>> 8) ^ table[table[at - 256] & 255];
  let crc = -1;
  return {
    update: (bytes) => {
      const end = bytes.length - (bytes.length % 8);
      let sum = crc;
      let at = 0;
      for (; at < end; at += 8) {
        sum ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
        sum =
          table[1792 + (sum & 255)] ^ table[1536 + ((sum >>> 8) & 255)] ^
          table[1280 + ((sum >>> 16) & 255)] ^ table[1024 + (sum >>> 24)] ^
          table[768 + bytes[at + 4]] ^ table[512 + bytes[at + 5]] ^ table[256 + bytes[at + 6]] ^ table[bytes[at + 7]];
      }
      for (; at < bytes.length; at += 1) sum = (sum >>> 8) ^ table[(sum ^ bytes[at]) & 255];
      crc = sum;
    },
    digest: () => (~crc >>> 0).toString(16).padStart(8, '0'),
  };
}`;
