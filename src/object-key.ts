// Names and object keys that may be used at all: nothing that climbs, is absolute, or hides a NUL.

/** Why `key` is no object key relative to a source's prefix, in words that follow the key; undefined when it is one. */
export function invalidKeyReason(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (key.includes('\0')) return 'holds a NUL';
  if (key.startsWith('/')) return 'is absolute';
  if (key.endsWith('/')) return "ends in '/'";
  const segments = key.split('/');
  if (segments.includes('..')) return "contains '..'";
  if (segments.includes('.')) return "holds the segment '.'";
  if (segments.includes('')) return 'holds an empty segment';
  return Buffer.byteLength(key) > MAX_KEY_BYTES ? `is longer than ${MAX_KEY_BYTES} bytes` : undefined;
}

/** Why `name` (a disk, a checkpoint, a file…) is no single segment of a key; undefined when it is one. */
export function invalidNameReason(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name === '.' || name === '..') return `is a reserved name ('${name}')`;
  if (name.includes('/')) return "holds a '/'";
  if (CONTROL.test(name)) return 'holds a control character';
  return Buffer.byteLength(name) > MAX_NAME_BYTES ? `is longer than ${MAX_NAME_BYTES} bytes` : undefined;
}

/** S3's own limit for a key. */
const MAX_KEY_BYTES = 1024;

/** A file's name in a folder (NAME_MAX); names in Kubernetes have 253 characters at most. */
const MAX_NAME_BYTES = 255;

const CONTROL = /\p{Cc}/u;
