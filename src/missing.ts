// A file that does not exist is an answer, where every other failure is an error.
import { systemCode } from './errors.ts';

/** What `operation` gives; undefined when the file that it is about does not exist (ENOENT). Other errors pass. */
export async function undefinedIfMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
