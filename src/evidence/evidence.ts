// What a layer itself shows about needing a parent, asked of the store where the documents do not answer.
import type { Evidence } from '../catalog/step.ts';
import { DatamoverError } from '../errors.ts';
import { validateHeader } from '../qcow2/judge.ts';
import type { ObjectStore } from '../store/store.ts';
import { startHeader } from './read-header.ts';
import { evidenceOfTables } from './tables.ts';

/**
 * Evidence of the layer `object`: its header, and its tables where the header records no backing file. A layer that is
 * missing, damaged or unsafe proves nothing; a source that does not answer or denies access rejects.
 */
export async function readEvidence(
  store: ObjectStore,
  object: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<Evidence> {
  try {
    const { info, header } = await startHeader(store, object, { where: object, signal });
    const isBase = header.backing === undefined;
    validateHeader(header, { where: object, fileSize: info.size, base: isBase });
    return await evidenceOfTables(store, { info, header }, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DatamoverError) || !NO_EVIDENCE.has(error.code)) throw error;
    return { complete: false, backing: false, shows: `its layer shows nothing: ${error.message}` };
  }
}

const NO_EVIDENCE: ReadonlySet<string> = new Set(['OBJECT_MISSING', 'IMAGE_CORRUPT', 'IMAGE_UNSAFE']);
