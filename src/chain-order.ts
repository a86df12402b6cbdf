// Is a chain in order? One full without a parent, then incrementals, each with the one before as its parent. The same
// proof for a chain that a plan writes out and for one that the bucket's catalog gives.

export type LayerType = 'full' | 'incremental';

export interface ChainLink {
  readonly checkpoint: string;
  readonly type: LayerType;
  readonly parent?: string | undefined;
}

export interface ChainFlaw {
  /** Which link, from 0. */
  readonly index: number;
  /** What is wrong with it, beginning with its checkpoint. */
  readonly message: string;
  readonly hint: string;
}

/**
 * The first flaw in the order of `links`, or undefined when there is none. `parents: 'optional'` takes an incremental
 * that names no parent (plans may leave it out); a parent that is named must always be the checkpoint of the link before.
 */
export function findChainFlaw(
  links: readonly ChainLink[],
  { parents }: { readonly parents: 'required' | 'optional' },
): ChainFlaw | undefined {
  const seen = new Map<string, number>();
  for (const [index, link] of links.entries()) {
    const before = links[index - 1];
    const flaw = twiceFlaw(link, seen) ?? typeFlaw(links, link, before) ?? parentFlaw(link, before, parents);
    if (flaw !== undefined) return { index, ...flaw };
    seen.set(link.checkpoint, index);
  }
  return undefined;
}

type Flaw = Omit<ChainFlaw, 'index'>;

function twiceFlaw({ checkpoint }: ChainLink, seen: ReadonlyMap<string, number>): Flaw | undefined {
  if (!seen.has(checkpoint)) return undefined;
  return {
    message: `checkpoint ${checkpoint} occurs twice in the chain`,
    hint: 'name each checkpoint once: the full first, then the incrementals in the order they were taken',
  };
}

function typeFlaw(links: readonly ChainLink[], link: ChainLink, before: ChainLink | undefined): Flaw | undefined {
  const { checkpoint, type } = link;
  if (before === undefined && type === 'incremental') {
    const full = links.find((other) => other.type === 'full');
    return {
      message: `checkpoint ${checkpoint} is first in the chain, but it is incremental: its parent is missing`,
      hint:
        full === undefined
          ? 'put the full that this incremental builds on, and all incrementals between them, before it'
          : `put the layers into the order they were taken: a chain starts with a full, such as ${full.checkpoint}`,
    };
  }
  if (before !== undefined && type === 'full') {
    const last = links.findLast((other) => other.type === 'full')?.checkpoint ?? checkpoint;
    return {
      message: `checkpoint ${checkpoint} is full, in the middle of the chain: it does not build on ${before.checkpoint}`,
      hint: `to restore the chain that starts at ${last}, remove every layer before ${last}`,
    };
  }
  return undefined;
}

function parentFlaw(
  { checkpoint, parent }: ChainLink,
  before: ChainLink | undefined,
  parents: 'required' | 'optional',
): Flaw | undefined {
  if (before === undefined) {
    if (parent === undefined) return undefined;
    return {
      message: `checkpoint ${checkpoint} is the chain's full, but it names a parent, ${parent}`,
      hint: 'check its type: a full has no parent, an incremental needs the layers before it',
    };
  }
  if (parent === before.checkpoint || (parent === undefined && parents === 'optional')) return undefined;
  if (parent === undefined) {
    return {
      message: `checkpoint ${checkpoint} is incremental, but names no parent`,
      hint: `choose an earlier backup: nothing proves that ${checkpoint} builds on ${before.checkpoint}`,
    };
  }
  return {
    message: `checkpoint ${checkpoint} builds on ${parent}, but the one before it in the chain is ${before.checkpoint}`,
    hint: `put the layers into the order they were taken, with ${parent} between ${before.checkpoint} and ${checkpoint}`,
  };
}
