// Which VMs of a bucket are meant by a backup and patterns, and the state of each that is restored or verified. The documents of
// backups are read once, for all VMs.
import { mergeTips } from '../catalog/health.ts';
import { vmText } from '../catalog/keys.ts';
import { listNames } from '../catalog/names.ts';
import { soundCheckpoints, type VmIndex } from '../catalog/vm-index.ts';
import { mapBounded } from '../concurrency.ts';
import { closestMatch } from '../did-you-mean.ts';
import { DatamoverError, type Problem } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { ObjectStore } from '../store/store.ts';
import type { VmPattern } from '../vm-pattern.ts';
import type { VmRef } from '../vm-ref.ts';
import { commandLine } from './command-line.ts';
import { findBackups, findNamespaces, findVmNames } from './find-vms.ts';
import { Ignored } from './ignored.ts';
import { readBackups, referencedVms } from './list-backups.ts';
import { emptySource, noBackupOf } from './not-found.ts';
import { type BackupDraft, newDraft, readBackup } from './read-backup.ts';
import { loadOrRebuildIndex, loadVmBackup, type VmBackup, withLoss } from './vm-backup.ts';

export interface SelectOptions {
  /** None is every VM. */
  readonly patterns: readonly VmPattern[];
  /** The backup whose state is meant; undefined for those that the VM's index and manifests name. */
  readonly backup: string | undefined;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface VmCandidate {
  readonly vm: VmRef;
  readonly backup: string | undefined;
  /** By backup: the tip, as the documents of backups name it. */
  readonly tips: ReadonlyMap<string, string | null>;
  /** Neither named by the caller nor by a backup: only its directory is known, which a deleted VM leaves behind too. */
  readonly optional: boolean;
}

export interface SelectedVms {
  /** By namespace and name. */
  readonly candidates: readonly VmCandidate[];
  /** Patterns that match nothing, and documents of backups that cannot be read and may name more VMs. */
  readonly problems: readonly Problem[];
}

/** Rejects with BACKUP_NOT_FOUND for a backup that no document knows and a source without backups, and as the store does. */
export async function selectVms(store: ObjectStore, options: SelectOptions): Promise<SelectedVms> {
  const { backup, patterns, progress } = options;
  const ignored = new Ignored();
  const { drafts, problems } = await readDrafts(store, { ...options, ignored });
  const referenced = referencedVms(drafts, undefined);
  const candidates = new Map<string, VmCandidate>();
  const add = (vm: VmRef, optional: boolean): void => {
    const tips = referenced.get(vmText(vm))?.tips ?? new Map<string, string | null>();
    if (!candidates.has(vmText(vm))) candidates.set(vmText(vm), { vm, backup, tips, optional });
  };
  const isMeant = (vm: VmRef): boolean => patterns.length === 0 || patterns.some((pattern) => pattern.matches(vm));
  for (const { vm } of patterns) if (vm !== undefined) add(vm, false);
  for (const { vm } of referenced.values()) if (isMeant(vm)) add(vm, false);
  // The documents of a backup name its VMs; without any, each VM's index says whether the backup contains it.
  const isNamed = backup !== undefined && referenced.size > 0;
  const searched = !isNamed && patterns.every(({ vm }) => vm === undefined);
  const found = searched ? (await findVms(store, { ...options, ignored })).filter(isMeant) : [];
  for (const vm of found) add(vm, true);
  ignored.report(progress);
  const unmatched = patterns.filter((pattern) => ![...candidates.values()].some(({ vm }) => pattern.matches(vm)));
  const known = [...new Set([...referenced.keys(), ...found.map(vmText)])];
  return {
    candidates: [...candidates.values()].sort((a, b) => compare(vmText(a.vm), vmText(b.vm))),
    problems: [...problems, ...unmatched.map((pattern) => unmatchedProblem(store, pattern, { backup, known }))],
  };
}

interface StateOptions {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface VmState {
  readonly backup: string;
  readonly found: VmBackup;
}

/**
 * The state of a candidate: of its backup, or of the newest that contains it. Undefined for an optional one that the backup does
 * not contain, or of which no backup is left. Rejects as `loadVmBackup`.
 */
export async function loadState(
  store: ObjectStore,
  candidate: VmCandidate,
  options: StateOptions,
): Promise<VmState | undefined> {
  const { vm, backup, optional } = candidate;
  if (backup !== undefined && !optional) {
    return { backup, found: await loadVmBackup(store, { vm, backup }, options) };
  }
  const index = await loadCandidate(store, candidate, options);
  if (index === undefined) return undefined;
  const chosen = backup ?? backupsOf(candidate, index).at(-1);
  if (chosen === undefined) return undefined;
  if (!backupsOf(candidate, index).includes(chosen)) return undefined;
  return { backup: chosen, found: await loadVmBackup(store, { vm, backup: chosen, known: index }, options) };
}

/** Every backup of a candidate with its tip, oldest first; undefined where it is optional and no backup is left. */
export async function loadBackups(
  store: ObjectStore,
  candidate: VmCandidate,
  options: StateOptions,
): Promise<{ readonly index: VmIndex; readonly tips: ReadonlyMap<string, string> } | undefined> {
  const index = await loadCandidate(store, candidate, options);
  return index === undefined ? undefined : { index, tips: mergeTips(index, candidate.tips) };
}

/** Undefined for a directory that is no VM, and for a VM of which neither backups nor checkpoints are left. */
async function loadCandidate(
  store: ObjectStore,
  candidate: VmCandidate,
  { progress, signal }: StateOptions,
): Promise<VmIndex | undefined> {
  const { vm, backup, optional } = candidate;
  const ignore = (why: string): undefined => {
    progress.report({ type: 'info', message: `ignored ${vmText(vm)}: ${why}` });
    return undefined;
  };
  let index: VmIndex;
  try {
    index = await loadOrRebuildIndex(store, vm, { progress, signal });
  } catch (error) {
    if (!optional || !(error instanceof DatamoverError) || error.code !== 'BACKUP_NOT_FOUND') throw error;
    return ignore('no index and no layers');
  }
  if (backup !== undefined || backupsOf(candidate, index).length > 0) return index;
  if (optional && soundCheckpoints(index).length === 0) return ignore('its index lists no checkpoint');
  throw withLoss(index, noBackupOf(store, index));
}

function backupsOf({ tips }: VmCandidate, index: VmIndex): string[] {
  return [...mergeTips(index, tips).keys()];
}

type ReadOptions = SelectOptions & { readonly ignored: Ignored };

/** The documents of the backup, or of all. */
async function readDrafts(
  store: ObjectStore,
  { backup, ignored, progress, signal }: ReadOptions,
): Promise<{ readonly drafts: ReadonlyMap<string, BackupDraft>; readonly problems: readonly Problem[] }> {
  const found: Problem[] = [];
  // Manifests are read where the backup's index does not name the VM; a filter would read all of them.
  const options = { vm: undefined, backup: undefined, ignored, problems: found, signal };
  let drafts: Map<string, BackupDraft>;
  if (backup === undefined) drafts = await readBackups(store, options);
  else {
    const draft = newDraft(backup);
    await readBackup(store, draft, options);
    drafts = new Map([[backup, draft]]);
  }
  // Where a backup's index is damaged, its manifests name the VMs.
  const isNoted = ({ code }: Problem): boolean => code === 'METADATA_INVALID';
  for (const { message } of found.filter(isNoted)) progress.report({ type: 'warning', message });
  const unreadable = [...drafts.values()].flatMap((draft) => draft.unreadable);
  for (const { key, expected } of unreadable) if (!expected) ignored.place(key);
  const expected = unreadable.flatMap((one) => (one.expected ? one.problems : []));
  return { drafts, problems: [...found.filter((problem) => !isNoted(problem)), ...expected] };
}

async function findVms(store: ObjectStore, { patterns, ignored, signal }: ReadOptions): Promise<VmRef[]> {
  const onIgnored = (key: string): void => ignored.place(key);
  const wanted = new Set(patterns.map(({ text }) => text.slice(0, text.indexOf('/'))));
  const fixed = patterns.length > 0 && ![...wanted].some((namespace) => /[*?]/.test(namespace));
  const namespaces = fixed ? [...wanted] : await findNamespaces(store, { onIgnored, signal });
  const found = await mapBounded(namespaces, { limit: REQUESTS, signal }, async (namespace, inner) =>
    (await findVmNames(store, namespace, { onIgnored, signal: inner })).map((name): VmRef => ({ namespace, name })),
  );
  return found.flat();
}

const REQUESTS = 16;

function unmatchedProblem(
  store: ObjectStore,
  { text }: VmPattern,
  { backup, known }: { readonly backup: string | undefined; readonly known: readonly string[] },
): Problem {
  const where = backup === undefined ? store.description : `backup ${backup}`;
  const shown = known.length === 0 ? 'no VM found' : `found: ${listNames(known)}`;
  const near = closestMatch(text, known);
  return {
    code: 'BACKUP_NOT_FOUND',
    message: `no VM matches ${text} in ${where}; ${shown}`,
    hint: near === undefined ? `run \`${commandLine(store, 'list')}\` to see all VMs` : `did you mean ${near}?`,
  };
}

/** The error for a selection in which no VM was found: an unknown backup, or a source without backups. */
export async function nothingSelected(
  store: ObjectStore,
  { backup }: Pick<SelectOptions, 'backup'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<DatamoverError> {
  const known = await findBackups(store, { signal });
  if (backup === undefined || known.length === 0) return await emptySource(store, { signal });
  const near = closestMatch(backup, known);
  return new DatamoverError(
    'BACKUP_NOT_FOUND',
    `backup ${backup} not found in ${store.description}; found: ${listNames(known)}`,
    { hint: near === undefined ? 'choose one of those backups' : `did you mean ${near}?` },
  );
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
