// One checkpoint of a disk's chain, by what the documents say of it and, where it was asked, by its layer's own tables: it is
// the base, it builds on its parent, or it breaks the chain. Pure.
import type { LayerType } from '../chain-order.ts';
import type { ErrorCode } from '../errors.ts';
import type { CatalogFile, Checkpoint, VmIndex } from './vm-index.ts';

/** What proves that a layer needs no parent. */
export type BaseProof =
  /** Its checkpoint is of type full, and no document contradicts it. */
  | 'type'
  /** Its tables leave nothing to a parent. */
  | 'tables';

/** What a layer's own header and tables show. */
export interface Evidence {
  /** The layer needs no parent: it records no backing file, and its tables leave nothing to one. */
  readonly complete: boolean;
  /** The header records a backing file: the layer needs a parent. */
  readonly backing: boolean;
  /** In words, for a list of contradictions. */
  readonly shows: string;
}

export interface StepContext {
  readonly index: VmIndex;
  readonly disk: string;
  /** Why a layer cannot be used (missing, of another size). */
  readonly flawOf: (file: CatalogFile) => Flaw | undefined;
  /** By object; undefined while a layer was not asked. */
  readonly evidence: ReadonlyMap<string, Evidence>;
}

export interface Flaw {
  readonly code: ErrorCode;
  readonly problem: string;
}

export type Step =
  | { readonly kind: 'base'; readonly proof: BaseProof; readonly checkpoint: Checkpoint; readonly file: CatalogFile }
  | { readonly kind: 'link'; readonly parent: string; readonly checkpoint: Checkpoint; readonly file: CatalogFile }
  /** The chain cannot go on from here, but the layer itself can be used: its tables may prove it a base. */
  | (Flaw & { readonly kind: 'open'; readonly checkpoint: Checkpoint; readonly file: CatalogFile })
  | (Flaw & { readonly kind: 'broken' });

/** The checkpoint before this one as a manifest lists it; undefined for the first of the list. */
export interface Listed {
  readonly before: string | undefined;
}

/** `listed`: its place in the list that is followed; without one its own parent is. */
export function stepAt(context: StepContext, id: string, listed?: Listed): Step {
  const { index, disk, flawOf, evidence } = context;
  const [checkpoint, second] = index.byId.get(id) ?? [];
  if (checkpoint === undefined) return broken('CHAIN_BROKEN', `checkpoint ${id} not found in the index`);
  if (second !== undefined) return broken('CHAIN_BROKEN', `checkpoint ${id} is in the index more than once`);
  if (checkpoint.flaw !== undefined) return broken('METADATA_INVALID', checkpoint.flaw);
  const { facts } = checkpoint;
  if (facts?.misplaced !== undefined) return broken('METADATA_INVALID', `${facts.key}: ${facts.misplaced}`);
  if (facts?.failure !== undefined) {
    return broken('CHAIN_BROKEN', `the backup of checkpoint ${id} failed: ${facts.key}: ${facts.failure}`);
  }
  const [file, other] = checkpoint.files.filter((one) => one.disk === disk);
  if (file === undefined) return broken('CHAIN_BROKEN', `checkpoint ${id} holds no layer of disk ${disk}`);
  if (other !== undefined) return broken('CHAIN_BROKEN', `checkpoint ${id} holds more than one layer of disk ${disk}`);
  const flaw = flawOf(file);
  if (flaw !== undefined) return { kind: 'broken', ...flaw };
  const known = evidence.get(file.object);
  if (known?.complete === true) return { kind: 'base', proof: 'tables', checkpoint, file };
  return byDocuments({ checkpoint, file, listed, known });
}

interface Judged {
  readonly checkpoint: Checkpoint;
  readonly file: CatalogFile;
  readonly listed: Listed | undefined;
  readonly known: Evidence | undefined;
}

function byDocuments({ checkpoint, file, listed, known }: Judged): Step {
  const open = (problem: string): Step => ({ kind: 'open', code: 'CHAIN_BROKEN', problem, checkpoint, file });
  const { id, parent, link, unlinked } = checkpoint;
  const claims = claimsOf(checkpoint, { disk: file.disk, listed });
  const contradiction = contradictionOf(claims);
  if (contradiction !== undefined) {
    return open(`checkpoint ${id} ${[contradiction, ...(known === undefined ? [] : [known.shows])].join('; ')}`);
  }
  if (claims.some(({ type, hint }) => type === 'full' && hint !== true)) {
    return { kind: 'base', proof: 'type', checkpoint, file };
  }
  if (!claims.some(({ type }) => type === 'incremental') && known?.backing !== true) {
    const shown = known === undefined ? '' : `, and ${known.shows}`;
    return open(`no document says whether checkpoint ${id} is full or incremental${shown}`);
  }
  if (unlinked !== undefined) return open(`checkpoint ${id}: ${unlinked}`);
  const before = listed === undefined ? parent : listed.before;
  if (before === undefined) {
    const why = listed === undefined ? 'but names no parent' : 'but a manifest lists it first';
    return open(`checkpoint ${id} is incremental, ${why}`);
  }
  // A guess gives way to a list.
  if (parent !== undefined && parent !== before && link !== 'time') {
    return open(`checkpoint ${id} builds on ${parent}, but the one before it in the chain is ${before}`);
  }
  if (parent === undefined && link === 'index') return open(`checkpoint ${id} is incremental, but names no parent`);
  return { kind: 'link', parent: before, checkpoint, file };
}

interface Claim {
  readonly type: LayerType;
  /** Where it is said. */
  readonly by: string;
  /** It cannot prove a base, but it contradicts a document that says otherwise. */
  readonly hint?: boolean;
}

/** Every statement of a document on whether the disk's layer of this checkpoint needs a parent. */
function claimsOf(
  { type, typedBy, parent, link, facts }: Checkpoint,
  { disk, listed }: { readonly disk: string; readonly listed: Listed | undefined },
): Claim[] {
  const claims: Claim[] = [];
  if (typedBy !== undefined) claims.push({ type, by: typedBy });
  if (parent !== undefined && link === 'index' && type === 'full') {
    claims.push({ type: 'incremental', by: `${PARENT}, ${parent}` });
  }
  const before = listed?.before ?? (link === 'manifest' ? parent : undefined);
  if (before !== undefined) claims.push({ type: 'incremental', by: `a manifest lists it after ${before}` });
  if (facts?.type !== undefined && typedBy !== `${facts.key}: status.type`) {
    claims.push({ type: facts.type, by: `${facts.key}: status.type` });
  }
  const own = facts?.volumes.get(disk);
  if (facts !== undefined && own !== undefined) {
    claims.push({ type: own, by: `${facts.key}: status.includedVolumes: ${disk}`, hint: true });
  }
  return claims;
}

function contradictionOf(claims: readonly Claim[]): string | undefined {
  const by = (type: LayerType): string =>
    claims
      .filter((claim) => claim.type === type)
      .map((claim) => claim.by)
      .join(', ');
  if (by('full') === '' || by('incremental') === '') return undefined;
  if (claims.length === 2 && by('incremental').startsWith(PARENT)) return `is full, but ${by('incremental')}`;
  return `is full (${by('full')}), but also incremental (${by('incremental')})`;
}

const PARENT = 'names a parent';

function broken(code: ErrorCode, problem: string): Step {
  return { kind: 'broken', code, problem };
}
