// Empty entries in lists: deleting a backup can leave `""` among an index's references and zeroed structs in a manifest's
// `vms`, since the uploader drops the result of Go's `slices.DeleteFunc`, which zeroes what it removes. They mean nothing.

/** Go's zero time, which it writes for an absent one. */
const ZERO_TIME = '0001-01-01T00:00:00Z';

/** Levels that are examined, enough for a reference of a checkpoint of an index. A forged document may have millions of them. */
const DEPTH = 5;

/** Whether a JSON value is null or the zero value of its kind; an object or a list of nothing but zero values, too. */
export function isEmptyEntry(value: unknown): boolean {
  return isEmpty(value, DEPTH);
}

/** Whether a document has empty entries in a list in which they are ignored. */
export function hasEmptyEntries(data: unknown, depth = DEPTH): boolean {
  if (typeof data !== 'object' || data === null || depth === 0) return false;
  return Object.entries(data).some(([key, value]) => {
    if (LISTS.has(key) && Array.isArray(value) && value.some(isEmptyEntry)) return true;
    return hasEmptyEntries(value, depth - 1);
  });
}

const LISTS: ReadonlySet<string> = new Set(['checkpoints', 'referencedBy', 'vms', 'checkpointChain']);

function isEmpty(value: unknown, depth: number): boolean {
  if (value === null || value === undefined || value === '' || value === 0 || value === false) return true;
  if (typeof value !== 'object') return value === ZERO_TIME;
  return depth > 0 && Object.values(value).every((inner) => isEmpty(inner, depth - 1));
}
