// Files that a plan, a flag or a variable names.
import { readFile } from 'node:fs/promises';
import { DatamoverError, type ErrorCode, systemCode } from '../../errors.ts';

/** The file's bytes. PLAN_INVALID (or `code`) when it cannot be read; `what` names it, as in `CA file`. */
export async function readNamedFile(
  file: string,
  what: string,
  { code = 'PLAN_INVALID', namedBy = 'the plan' }: { readonly code?: ErrorCode; readonly namedBy?: string } = {},
): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const cause = systemCode(error);
    if (cause === undefined) throw error;
    const why = cause === 'ENOENT' ? 'not found' : `cannot be read (${cause})`;
    throw new DatamoverError(code, `${file}: ${what} ${why}`, {
      hint: `check the path in ${namedBy}, that the file is mounted here, and that this user may read it`,
      cause: error,
    });
  }
}
