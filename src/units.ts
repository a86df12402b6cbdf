// Bytes, durations and safe integers: the units that every room shares.

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

const SUFFIXES: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['k', 1e3],
  ['M', 1e6],
  ['G', 1e9],
  ['T', 1e12],
  ['P', 1e15],
  ['E', 1e18],
  ['Ki', 2 ** 10],
  ['Mi', 2 ** 20],
  ['Gi', 2 ** 30],
  ['Ti', 2 ** 40],
  ['Pi', 2 ** 50],
  ['Ei', 2 ** 60],
]);

/**
 * Reads a Kubernetes quantity of bytes: `10Gi`, `1.5Gi`, `500M`, `1e9`, `10737418240`.
 * Returns whole bytes, rounded up as Kubernetes does, in 0 … 2^53−1; undefined when it is not such a quantity.
 * (Kubernetes API, resource.Quantity; its sub-unit suffixes n, u, m make no sense for a disk and are not taken.)
 */
export function parseQuantity(text: string): number | undefined {
  const match = /^(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d{1,3})|([kMGTPE]|[KMGTPE]i)?)$/.exec(text.trim());
  if (match === null) return undefined;
  const factor = SUFFIXES.get(match[3] ?? '');
  if (factor === undefined) return undefined;
  const bytes = Math.ceil(Number(`${match[1]}${match[2] ?? ''}`) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes for people, three digits: `512 B`, `1.50 KiB`, `75.1 GiB`. */
export function formatBytes(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let index = 0;
  while (value >= 1023.5 && index < names.length - 1) {
    value /= 1024;
    index += 1;
  }
  if (index === 0) return `${bytes} B`;
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${names[index]}`;
}

/** `1 disk`, `2 disks`, `0 disks`. */
export function count(number: number, what: string, several = `${what}s`): string {
  return `${number} ${number === 1 ? what : several}`;
}

/** Seconds for people: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`. */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pad = (n: number): string => String(n).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** The largest multiple of `step` that is ≤ `value`. */
export function alignDown(value: number, step: number): number {
  return value - (value % step);
}

/** The smallest multiple of `step` that is ≥ `value`. */
export function alignUp(value: number, step: number): number {
  return alignDown(value + step - 1, step);
}

/** A 64-bit value from a wire or a disk as a number; undefined when it is beyond 2^53−1. */
export function safeNumber(value: bigint): number | undefined {
  return value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

/** A run of bytes, from `offset` (≥ 0) on. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}
