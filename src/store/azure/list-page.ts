// A page of a container's listing ("List Blobs"). Pure.
import { checkNames, type ListPage, parseSize } from '../remote/list-pages.ts';
import { unusableAnswer } from '../remote/unusable-answer.ts';
import { childOf, parseXml, type XmlElement } from '../remote/xml.ts';

/** As `ParsePage`. */
export function parseListPage(document: string, prefix: string): ListPage {
  const root = parseXml(document);
  if (root.name !== 'EnumerationResults') throw unusableAnswer('the server sent something other than a listing');
  const entries = childOf(root, 'Blobs')?.children ?? [];
  const page = {
    prefixes: entries.filter(({ name }) => name === 'BlobPrefix').map(nameOf),
    objects: entries.filter(isBlob).map((entry) => ({ name: nameOf(entry), size: sizeOf(entry) })),
    next: childOf(root, 'NextMarker')?.text || undefined,
  };
  checkNames(page, prefix);
  return page;
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
  return parseSize(childOf(childOf(entry, 'Properties'), 'Content-Length')?.text);
}
