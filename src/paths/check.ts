// Compares what is written with what is read, and with all else that is written, before anything is written.
import { mapBounded } from '../concurrency.ts';
import type { Problem } from '../errors.ts';
import { holds, isInside, isSame, sharesDevice } from './compare.ts';
import { type Place, PlaceReader, readPlaceIdentity } from './place.ts';
import { type ReadPath, WRITTEN_KINDS, type WrittenKind, type WrittenPath } from './uses.ts';
import { describeConflict, describeRefusal, type Relation } from './words.ts';

export interface ListedPaths {
  readonly read: readonly ReadPath[];
  readonly written: readonly WrittenPath[];
  /** Conflicts of these alone; undefined for all. */
  readonly kind?: WrittenKind | undefined;
}

/** One problem for each written path and thing that it conflicts with. */
export async function findConflicts({ read, written, kind }: ListedPaths): Promise<Problem[]> {
  const reader = new PlaceReader();
  const reads = await mapAll(read, (path) => lookAtRead(path, reader));
  const objects = new Map(reads.filter(({ path }) => path.object === true).map((one) => [one.places[0]?.id, one]));
  const others = reads.filter(({ path }) => path.object !== true);
  const writes = await mapAll(inOrderOfBlame(written), (path) => lookAtWritten(path, reader));
  const problems: Problem[] = [];
  for (const [index, one] of writes.entries()) {
    if (kind !== undefined && one.path.kind !== kind) continue;
    // A terminal or a pipe holds nothing that could be overwritten.
    if (one.path.kind === 'output' && !one.places.some(({ kind }) => kind === 'file' || kind === 'block')) continue;
    // An object of the source says more than the source that it is inside.
    const found = await conflictsOf(one, [...matching(one, objects), ...others, ...writes.slice(0, index)]);
    const refusal = found.length === 0 ? await one.path.refusal?.() : undefined;
    problems.push(...found, ...(refusal === undefined ? [] : [describeRefusal(one.path, refusal)]));
  }
  return problems;
}

interface LookedAt<P extends ReadPath | WrittenPath = ReadPath | WrittenPath> {
  readonly path: P;
  readonly places: readonly Place[];
  /** Files that a written path's bytes are stored in, through loop devices. */
  readonly behind: readonly { readonly file: string; readonly place: Place }[];
}

async function lookAtRead(path: ReadPath, reader: PlaceReader): Promise<LookedAt<ReadPath>> {
  const place = path.object === true ? await readPlaceIdentity(path.path) : await reader.read(path.path);
  return { path, places: [place], behind: [] };
}

async function lookAtWritten(path: WrittenPath, reader: PlaceReader): Promise<LookedAt<WrittenPath>> {
  const places = await mapAll(path.places ?? [path.path], (each) => reader.read(each));
  const files = new Set(places.flatMap(({ storage }) => [...storage.files.values()]));
  const behind = await mapAll([...files], async (file) => ({ file, place: await reader.read(file) }));
  return { path, places, behind };
}

/** Of very many objects those that are this very file: they are found by their identity, one by one it would take long. */
function matching({ places, behind }: LookedAt, objects: ReadonlyMap<string | undefined, LookedAt>): LookedAt[] {
  const ids = [...places, ...behind.map(({ place }) => place)].flatMap(({ id }) => (id === undefined ? [] : [id]));
  return ids.flatMap((id) => objects.get(id) ?? []);
}

async function conflictsOf(one: LookedAt<WrittenPath>, others: readonly LookedAt[]): Promise<Problem[]> {
  const problems: Problem[] = [];
  const groups = new Set<string>();
  for (const other of others) {
    const group = groupOf(other.path);
    if (groups.has(group) || (isOutput(one.path) && isOutput(other.path))) continue;
    const relation = await relate(one, other);
    if (relation === undefined) continue;
    groups.add(group);
    problems.push(describeConflict(one.path, other.path, relation));
  }
  return problems;
}

async function relate(one: LookedAt<WrittenPath>, other: LookedAt): Promise<Relation | undefined> {
  for (const ours of one.places) {
    for (const theirs of other.places) {
      if (sharesDevice(ours, theirs)) return { kind: 'device' };
      if (await isSame(ours, theirs)) return { kind: 'same' };
      if (isWithin(one.path, ours, other.path, theirs)) return { kind: 'inside' };
      if (isWithin(other.path, theirs, one.path, ours)) return { kind: 'contains' };
      if (holds(ours, theirs)) return { kind: 'holds' };
    }
  }
  for (const { file, place } of one.behind) {
    for (const theirs of other.places) {
      if (place.id === theirs.id || isWithin(one.path, place, other.path, theirs)) return { kind: 'stored', file };
    }
  }
  return undefined;
}

/** Output may be redirected to a new file beside a backup: that overwrites nothing of it. */
function isWithin(path: ReadPath | WrittenPath, place: Place, tree: ReadPath | WrittenPath, treePlace: Place): boolean {
  return tree.tree === true && !isOutput(path) && isInside(place, treePlace);
}

function isOutput(path: ReadPath | WrittenPath): boolean {
  return 'kind' in path && path.kind === 'output';
}

function groupOf(path: ReadPath | WrittenPath): string {
  return 'kind' in path ? `${path.kind} ${path.pvc ?? ''} ${path.path}` : (path.group ?? path.what);
}

function inOrderOfBlame(written: readonly WrittenPath[]): WrittenPath[] {
  return WRITTEN_KINDS.flatMap((kind) => written.filter((path) => path.kind === kind));
}

async function mapAll<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  return await mapBounded(items, { limit: AT_A_TIME, signal: NEVER }, work);
}

const AT_A_TIME = 16;
const NEVER = new AbortController().signal;
