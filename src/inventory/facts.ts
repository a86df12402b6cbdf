// Reads the archived backups (vmb.json) of checkpoints. They are optional: one that cannot be read is noted and does without.
import { type BackupFacts, backupFactsKey, parseBackupFacts } from '../catalog/backup-facts.ts';
import { mapBounded } from '../concurrency.ts';
import { DatamoverError } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmRef } from '../vm-ref.ts';
import { readDocument } from './read-document.ts';

export interface FactsOptions {
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Concurrent requests. */
  readonly limit?: number;
  /** What was read of this VM, by checkpoint; what is read is added. */
  readonly known?: Map<string, Promise<BackupFacts | undefined>> | undefined;
}

const REQUESTS = 16;

/** By checkpoint; one without a document, or with one that cannot be read, is not among them. */
export async function readFacts(
  store: ObjectStore,
  vm: VmRef,
  ids: readonly string[],
  { progress, signal, limit = REQUESTS, known = new Map() }: FactsOptions,
): Promise<Map<string, BackupFacts>> {
  const found = await mapBounded([...new Set(ids)], { limit, signal }, async (id, inner) => {
    const reading = known.get(id) ?? readOne(store, vm, id, { progress, signal: inner });
    known.set(id, reading);
    const facts = await reading;
    return facts === undefined ? undefined : ([id, facts] as const);
  });
  return new Map(found.filter((one) => one !== undefined));
}

async function readOne(
  store: ObjectStore,
  vm: VmRef,
  id: string,
  { progress, signal }: Pick<FactsOptions, 'progress' | 'signal'>,
): Promise<BackupFacts | undefined> {
  try {
    const data = await readDocument(store, backupFactsKey(vm, id), { signal });
    return data === undefined ? undefined : parseBackupFacts(data, vm, id);
  } catch (error) {
    if (!(error instanceof DatamoverError) || !UNREADABLE.has(error.code)) throw error;
    progress.report({ type: 'info', message: `ignored an archived backup that cannot be read: ${error.message}` });
    return undefined;
  }
}

/** A store without the right to list denies an object that does not exist. */
const UNREADABLE: ReadonlySet<string> = new Set(['METADATA_INVALID', 'ACCESS_DENIED', 'OBJECT_CHANGED']);
