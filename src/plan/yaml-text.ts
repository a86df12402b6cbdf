// YAML or JSON text → plain data, with the line of everything in it. The text may be anything at all, so the library's own
// conversion is not used: its duplicate check is quadratic (60,000 keys took 88 s) and keys that are maps are printed
// in exponential time. What a plan needs is little: maps with text keys, lists, scalars, few levels.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
} from 'yaml';
import { MiB } from '../units.ts';

export interface TextFlaw {
  readonly message: string;
  readonly hint: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

export type Place = readonly (string | number)[];

export interface ReadText {
  readonly data: unknown;
  /** Everything that is no YAML, or more than plain data; when there is any, `data` must not be used. */
  readonly flaws: readonly TextFlaw[];
  /** The line and column of a value, or of the nearest thing around it. */
  locate(place: Place): { readonly line: number; readonly column: number };
}

/** Reads one document. Never throws; time and memory are bounded by the text's length, however it nests. */
export function readText(text: string): ReadText {
  const excess = text.length > DENSE_LENGTH ? excessOf(text) : undefined;
  if (excess !== undefined) return { data: undefined, flaws: [excess], locate: () => excess };
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const at = (offset: number): Pick<TextFlaw, 'line' | 'column'> => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const [document, second] = 'empty' in documents ? [] : documents;
  if (document === undefined) return { data: undefined, flaws: [], locate: () => at(0) };
  const reader: Reader = { document, at, flaws: [], nodes: 0, aliases: 0, places: new Map() };
  for (const { code, message, pos } of document.errors) {
    reader.flaws.push({ ...toYamlProblem(code, message), ...at(pos[0]) });
  }
  if (second !== undefined) {
    reader.flaws.push({ message: 'second document found', hint: 'use one document per plan', ...at(second.range[0]) });
  }
  const data = reader.flaws.length > 0 ? undefined : toData(reader, document.contents, []);
  return { data, flaws: reader.flaws, locate: (place) => nearestPlace(reader, place) };
}

/** So much text is read however dense it is: the library takes 2 s and 700 MiB for the worst of it. */
const DENSE_LENGTH = MiB;

/** 2,000 disks with four layers each have 130,000. */
const MAX_MARKS = 500_000;

/** A large text with a value in every few bytes is no plan, and would take gigabytes of memory. */
function excessOf(text: string): TextFlaw | undefined {
  let count = 0;
  for (let index = 0; index < text.length; index += 1) {
    if (!isMark(text, index)) continue;
    count += 1;
    if (count <= MAX_MARKS) continue;
    return { message: `more than ${MAX_MARKS} values`, hint: 'check that the file is a plan', line: 1, column: 1 };
  }
  return undefined;
}

/** What begins or parts values: a line, an item, a key, a bracket. */
function isMark(text: string, index: number): boolean {
  const character = text.charAt(index);
  return character === '-' ? text.charAt(index + 1) === ' ' : MARKS.has(character);
}

const MARKS: ReadonlySet<string> = new Set('\n\r,:[]{}?&*!|>%@"\'');

interface Reader {
  readonly document: Document.Parsed;
  readonly at: (offset: number) => Pick<TextFlaw, 'line' | 'column'>;
  readonly flaws: TextFlaw[];
  readonly places: Map<string, number>;
  nodes: number;
  aliases: number;
}

/** A plan has 6 levels; deeper ones need no conversion to be refused, and recursion must end. */
const MAX_DEPTH = 20;

/** More than a text holds without aliases; with them a few lines could stand for billions. */
const MAX_NODES = 1_000_000;

function toData(reader: Reader, node: Node | null, place: Place): unknown {
  const offset = node?.range?.[0];
  if (offset !== undefined) reader.places.set(JSON.stringify(place), offset);
  reader.nodes += 1;
  if (reader.nodes > MAX_NODES) return tooMuch(reader, node, 'too many nodes, with aliases resolved');
  if (place.length > MAX_DEPTH) return tooMuch(reader, node, 'nested too deeply');
  if (isAlias(node)) return aliased(reader, node, place);
  if (isSeq<Node>(node)) return node.items.map((item, index) => toData(reader, item, [...place, index]));
  if (isMap<Node, Node | null>(node)) {
    const entries = new Map<string, unknown>();
    for (const { key, value } of node.items) {
      const name = readKey(reader, key, entries);
      if (name !== undefined) entries.set(name, toData(reader, value, [...place, name]));
    }
    return Object.fromEntries(entries);
  }
  return isScalar(node) ? node.value : null;
}

/** Resolving walks the whole document, so that many aliases would take quadratic time. */
const MAX_ALIASES = 100;

function aliased(reader: Reader, alias: Alias, place: Place): unknown {
  reader.aliases += 1;
  if (reader.aliases > MAX_ALIASES) return tooMuch(reader, alias, `more than ${MAX_ALIASES} aliases`);
  return toData(reader, alias.resolve(reader.document) ?? null, place);
}

function readKey(reader: Reader, key: Node, before: ReadonlyMap<string, unknown>): string | undefined {
  const place = reader.at(key.range?.[0] ?? 0);
  if (!isScalar(key)) {
    reader.flaws.push({ message: 'a key is not text', hint: 'keys are words, as in `pvcs:`', ...place });
    return undefined;
  }
  const name = String(key.value);
  if (!before.has(name)) return name;
  reader.flaws.push({
    message: `duplicate key ${JSON.stringify(name)}`,
    hint: 'remove one of them',
    ...place,
  });
  return undefined;
}

function tooMuch(reader: Reader, node: Node | null, message: string): undefined {
  if (reader.flaws.every((flaw) => flaw.message !== message)) {
    reader.flaws.push({ message, hint: 'check that the file is a plan', ...reader.at(node?.range?.[0] ?? 0) });
  }
  return undefined;
}

function nearestPlace({ places, at }: Reader, place: Place): Pick<TextFlaw, 'line' | 'column'> {
  for (let length = place.length; length >= 0; length -= 1) {
    const offset = places.get(JSON.stringify(place.slice(0, length)));
    if (offset !== undefined) return at(offset);
  }
  return at(0);
}

function toYamlProblem(code: string, message: string): Pick<TextFlaw, 'message' | 'hint'> {
  if (code === 'RESOURCE_EXHAUSTION') return { message: 'nested too deeply', hint: 'check that the file is a plan' };
  if (code === 'TAB_AS_INDENT') return { message: 'line is indented with a tab', hint: 'indent YAML with spaces' };
  return {
    message: `invalid YAML or JSON: ${message}`,
    hint: 'correct the text, or run `kubevirt-datamover plan` to create a plan',
  };
}
