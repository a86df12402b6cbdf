// A small strict reader of XML as stores send it in listings and errors: elements and text, no DTD. Pure.
import { unusableAnswer } from './unusable-answer.ts';

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlElement[];
  /** The character data directly in it. */
  readonly text: string;
}

interface OpenElement {
  readonly name: string;
  readonly attributes: Record<string, string>;
  readonly children: XmlElement[];
  text: string;
}

const TOKEN =
  /<\?[^>]*\?>|<!--[\s\S]*?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([A-Za-z_][\w.:-]*)((?:\s+[A-Za-z_][\w.:-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|([^<]+)/y;

/** No document of a store is nested deeper. */
const MAX_DEPTH = 32;

/** The document's element. Throws a `TransientError` for what is not well-formed XML, or is cut short. */
export function parseXml(document: string): XmlElement {
  const root: OpenElement = { name: '', attributes: {}, children: [], text: '' };
  const open: OpenElement[] = [root];
  TOKEN.lastIndex = document.startsWith('\uFEFF') ? 1 : 0;
  while (TOKEN.lastIndex < document.length) {
    const match = TOKEN.exec(document);
    const inner = open.at(-1);
    if (match === null || inner === undefined) throw malformed();
    const [, literal, closing, name, attributes, empty, text] = match;
    if (literal !== undefined) inner.text += literal;
    else if (text !== undefined) inner.text += decode(text);
    else if (name === undefined) continue;
    else if (closing === '/') {
      if (inner.name !== name || open.length === 1) throw malformed();
      open.pop();
    } else {
      const element = { name, attributes: attributesOf(attributes ?? ''), children: [], text: '' };
      inner.children.push(element);
      if (empty !== '/') open.push(element);
      if (open.length > MAX_DEPTH) throw malformed();
    }
  }
  const [first, second] = root.children;
  if (open.length !== 1 || first === undefined || second !== undefined || root.text.trim() !== '') throw malformed();
  return first;
}

/** The first child of that name. */
export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((child) => child.name === name);
}

function attributesOf(text: string): Record<string, string> {
  const found = text.matchAll(/([A-Za-z_][\w.:-]*)\s*=\s*(?:"([^"]*)"|'([^']*)')/g);
  return Object.fromEntries([...found].map(([, name = '', double, single]) => [name, decode(double ?? single ?? '')]));
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decode(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]+));|&/g, (_, decimal, hex, named) => {
    if (named !== undefined) return NAMED[named] ?? refuse();
    const code = decimal !== undefined ? Number(decimal) : hex !== undefined ? Number.parseInt(hex, 16) : -1;
    return code >= 0 && code <= 0x10ffff ? String.fromCodePoint(code) : refuse();
  });
}

function refuse(): never {
  throw malformed();
}

function malformed(): Error {
  return unusableAnswer('the server sent malformed XML');
}
