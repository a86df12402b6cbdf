// A page of a container's listing ("List Blobs"). Pure.
import { isKey } from '../key.ts';
import { unusableAnswer } from '../remote/unusable-answer.ts';
import { childOf, parseXml, type XmlElement } from '../remote/xml.ts';
import type { ListEntry } from '../store.ts';

export interface ListPage {
  /** Complete names, as the container has them. */
  readonly prefixes: readonly string[];
  readonly blobs: readonly { readonly name: string; readonly size: number }[];
  /** Where the next page starts; undefined after the last one. */
  readonly marker: string | undefined;
}

/** Throws a `TransientError` for anything but a listing of names under `prefix`. */
export function parseListPage(document: string, prefix: string): ListPage {
  const root = parseXml(document);
  if (root.name !== 'EnumerationResults') throw unusableAnswer('the server sent something other than a listing');
  const entries = childOf(root, 'Blobs')?.children ?? [];
  const page = {
    prefixes: entries.filter(({ name }) => name === 'BlobPrefix').map(nameOf),
    blobs: entries.filter(isBlob).map((entry) => ({ name: nameOf(entry), size: sizeOf(entry) })),
    marker: childOf(root, 'NextMarker')?.text || undefined,
  };
  const names = [...page.prefixes, ...page.blobs.map(({ name }) => name)];
  if (!names.every((name) => name.startsWith(prefix))) throw unusableAnswer('the server listed keys of another prefix');
  return page;
}

/**
 * The entries right under `prefix`, which is below `before`; names that no method of a store would take (a directory's marker,
 * `a//b`) are left out.
 */
export function* entriesOf({ prefixes, blobs }: ListPage, before: string): Generator<ListEntry> {
  for (const full of prefixes) {
    const key = full.slice(before.length);
    if (isKey(key.replace(/\/$/, ''))) yield { kind: 'prefix', key };
  }
  for (const { name, size } of blobs) {
    const key = name.slice(before.length);
    if (isKey(key)) yield { kind: 'object', key, size };
  }
}

/** A directory of an account with a hierarchical namespace is listed as a blob too. */
function isBlob(entry: XmlElement): boolean {
  return entry.name === 'Blob' && childOf(childOf(entry, 'Properties'), 'ResourceType')?.text !== 'directory';
}

function nameOf(entry: XmlElement): string {
  const name = childOf(entry, 'Name');
  if (name === undefined || name.text === '') throw unusableAnswer('the server listed a blob without a name');
  // Of names that XML cannot hold.
  if (name.attributes.Encoded !== 'true') return name.text;
  try {
    return decodeURIComponent(name.text);
  } catch {
    throw unusableAnswer('the server sent a malformed key in a listing');
  }
}

function sizeOf(entry: XmlElement): number {
  const text = childOf(childOf(entry, 'Properties'), 'Content-Length')?.text ?? '';
  const size = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw unusableAnswer('the server listed an object without a size');
  return size;
}
