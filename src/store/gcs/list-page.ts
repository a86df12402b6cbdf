// A page of a bucket's listing ("List objects" of the XML API, version 2). Pure.
import { checkNames, type ListPage, parseSize } from '../remote/list-pages.ts';
import { unusableAnswer } from '../remote/unusable-answer.ts';
import { childOf, parseXml } from '../remote/xml.ts';

/** As `ParsePage`. */
export function parseListPage(document: string, prefix: string): ListPage {
  const root = parseXml(document);
  if (root.name !== 'ListBucketResult') throw unusableAnswer('the server sent something other than a listing');
  const decode = childOf(root, 'EncodingType')?.text === 'url' ? decodeName : (name: string) => name;
  const next = childOf(root, 'NextContinuationToken')?.text || undefined;
  const truncated = childOf(root, 'IsTruncated')?.text === 'true';
  if (truncated && next === undefined) throw unusableAnswer('the server truncated a listing');
  const nameOf = (text: string | undefined): string =>
    text === undefined || text === '' ? missingName() : decode(text);
  const ofKind = (kind: string) => root.children.filter(({ name }) => name === kind);
  const page = {
    prefixes: ofKind('CommonPrefixes').map((entry) => nameOf(childOf(entry, 'Prefix')?.text)),
    objects: ofKind('Contents').map((entry) => ({
      name: nameOf(childOf(entry, 'Key')?.text),
      size: parseSize(childOf(entry, 'Size')?.text),
    })),
    next: truncated ? next : undefined,
  };
  checkNames(page, prefix);
  return page;
}

function missingName(): never {
  throw unusableAnswer('the server listed an object without a name');
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' '));
  } catch {
    throw unusableAnswer('the server sent a malformed key in a listing');
  }
}
