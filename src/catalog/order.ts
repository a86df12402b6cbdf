// What proves the order of a chain. Pure.
import type { IndexEntry, Link, ListedChain, Rebuilt, VmIndex } from './vm-index.ts';

/**
 * What proves that each of `ids` (base first) is the parent of the next. `index`: the index names every parent. `manifest`: one
 * manifest names all of them in this order, and every manifest that names one of them agrees on its parent. `time`: nothing does,
 * since links come from several manifests, from one with gaps, or are guessed by time.
 */
export function orderOf({ byId, rebuilt }: VmIndex, ids: readonly string[]): Link {
  if (rebuilt === undefined) return 'index';
  const links = ids.map((id) => byId.get(id)?.[0]);
  const lost = new Set(rebuilt.ids);
  const isIndexed = links.every((entry, place) => {
    if (entry === undefined || entry.flaw !== undefined || lost.has(entry.id)) return false;
    return place === 0 || entry.link === 'index';
  });
  if (isIndexed) return 'index';
  return isListed(rebuilt, ids) ? 'manifest' : 'time';
}

function isListed({ manifests }: Rebuilt, ids: readonly string[]): boolean {
  const lists = [...manifests.values()].filter(({ gaps }) => !gaps);
  return lists.some((list) => holds(list, ids)) && lists.every((list) => agrees(list, ids));
}

function holds({ ids: listed }: ListedChain, ids: readonly string[]): boolean {
  const start = listed.indexOf(ids[0] ?? '');
  return start !== -1 && ids.every((id, place) => listed[start + place] === id);
}

function agrees({ ids: listed }: ListedChain, ids: readonly string[]): boolean {
  return ids.every((id, place) => {
    const at = listed.indexOf(id);
    return place === 0 || at === -1 || listed[at - 1] === ids[place - 1];
  });
}

/** What a manifest says against the order of `ids` (base first); undefined when none contradicts it. */
export function orderContradiction(
  manifests: ReadonlyMap<string, ListedChain>,
  ids: readonly string[],
): string | undefined {
  for (const [key, { ids: listed, gaps }] of manifests) {
    for (const [place, id] of gaps ? [] : ids.entries()) {
      const before = listed[listed.indexOf(id) - 1];
      const parent = ids[place - 1];
      if (place === 0 || before === undefined || before === parent) continue;
      return `checkpoint ${id} builds on ${parent}, but ${key} lists it after ${before}`;
    }
  }
  return undefined;
}

/** The ids from the base of a chain up to `tip`, by parents; empty where `base` is not reached. */
export function idsBetween(
  { byId }: VmIndex,
  { base, tip }: { readonly base: string; readonly tip: string },
): string[] {
  const ids: string[] = [];
  const seen = new Set<string>();
  for (let at: string | undefined = tip; at !== undefined && !seen.has(at); ) {
    seen.add(at);
    ids.push(at);
    if (at === base) return ids.reverse();
    const entry: IndexEntry | undefined = byId.get(at)?.[0];
    at = entry?.flaw === undefined ? entry?.parent : undefined;
  }
  return [];
}
