// Object keys: relative to the source's prefix, '/'-separated, never absolute, never climbing.
import { DatamoverError } from '../errors.ts';
import { invalidKeyReason } from '../object-key.ts';

/** Refuses a key that no object of a backup can have: PLAN_INVALID. The same rule for every store. */
export function checkKey(key: string): void {
  const why = invalidKeyReason(key);
  if (why === undefined) return;
  throw new DatamoverError('PLAN_INVALID', `object key ${JSON.stringify(key)} ${why}`, {
    hint: 'object keys are relative to the source, as in checkpoints/<namespace>/<vm>/<checkpoint>/<file>.qcow2',
  });
}

/** As `checkKey`, for what is listed under: '' or a key followed by one '/'. */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  if (prefix.endsWith('/')) {
    checkKey(prefix.slice(0, -1));
    return;
  }
  throw new DatamoverError('PLAN_INVALID', `prefix ${JSON.stringify(prefix)} does not end in '/'`, {
    hint: 'end the prefix with /, for example manifests/',
  });
}

/** Whether a key that a listing gave may be handed on. */
export function isKey(key: string): boolean {
  return invalidKeyReason(key) === undefined;
}
