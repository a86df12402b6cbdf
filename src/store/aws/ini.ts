// The ini format of the AWS tools' files, read as the Go SDK (the operator's) and botocore read it where they agree; where only
// one of them can make sense of a line, as that one does. docs/credentials.md has the table. Pure.

export interface IniEntry {
  /** Without quotes, comment and surrounding space; '' for a key without a value. */
  readonly value: string;
  /** From 1. */
  readonly line: number;
  /** The first line that was indented below this key and is no key itself: it continues the value. */
  readonly continuedAt?: number;
  /** `s3 =` with indented lines. */
  readonly nested: ReadonlyMap<string, IniEntry>;
}

export interface IniSection {
  /** `profile` for [profile x], '' for [x]. */
  readonly type: string;
  readonly name: string;
  readonly line: number;
  /** By lower-case key. Of a key that stands twice the last one. */
  readonly entries: ReadonlyMap<string, IniEntry>;
}

export interface IniProblem {
  readonly line: number;
  /** Never quotes the line: it may hold a secret. */
  readonly why: string;
}

export interface IniFile {
  /** In the order of the file; a section that stands twice is here twice. */
  readonly sections: readonly IniSection[];
  readonly problems: readonly IniProblem[];
  /** The first key that stands before any section. */
  readonly outsideLine: number | undefined;
}

/**
 * Keys that are keys wherever they stand. Anything else that is indented below a key with a value continues that value, as
 * in the Go SDK and botocore.
 */
const KNOWN = /^(aws_[a-z_]+|region|role_arn|source_profile|web_identity_token_file|role_session_name|external_id)$/;

interface OpenEntry {
  value: string;
  line: number;
  indent: number;
  continuedAt?: number;
  nested: Map<string, IniEntry>;
}

interface OpenSection extends IniSection {
  readonly entries: Map<string, OpenEntry>;
}

/** Reads `text`; what is wrong with a line is a problem, not an error. */
export function parseIni(text: string): IniFile {
  const sections: OpenSection[] = [];
  const problems: IniProblem[] = [];
  let section: OpenSection | undefined;
  let entry: OpenEntry | undefined;
  let outsideLine: number | undefined;
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    const content = raw.trim();
    if (content === '' || /^[#;]/.test(content)) continue;
    if (content.startsWith('[')) {
      const header = parseSectionHeader(content);
      entry = undefined;
      section = header === undefined ? undefined : { ...header, line, entries: new Map() };
      if (section === undefined) problems.push({ line, why: 'not a section: write [name], alone on its line' });
      else sections.push(section);
      continue;
    }
    const indent = raw.length - raw.trimStart().length;
    const property = parseProperty(content);
    const below = entry !== undefined && indent > entry.indent;
    if (below && entry !== undefined && !isKeyOfItsOwn(entry, property?.key)) {
      if (entry.value === '' && property !== undefined) {
        entry.nested.set(property.key, { value: property.value, line, nested: new Map() });
      } else {
        entry.continuedAt ??= line;
      }
    } else if (property === undefined) {
      problems.push({ line, why: 'not a section, a comment or a line "name = value"' });
    } else if (section === undefined) {
      outsideLine ??= line;
    } else {
      entry = { value: property.value, line, indent, nested: new Map() };
      section.entries.set(property.key, entry);
    }
  }
  return { sections, problems, outsideLine };
}

function isKeyOfItsOwn(entry: OpenEntry, key: string | undefined): boolean {
  return entry.value !== '' && key !== undefined && KNOWN.test(key);
}

/** `[name]`, `[profile name]`, `[profile "a name"]`, and a comment behind it. */
function parseSectionHeader(content: string): { readonly type: string; readonly name: string } | undefined {
  const inner = /^\[([^\]]*)\]\s*(?:[#;].*)?$/.exec(content)?.[1]?.trim();
  if (inner === undefined || inner === '') return undefined;
  const [, type = '', rest = inner] = /^(profile|sso-session|services)\s+(.+)$/.exec(inner) ?? [];
  return { type, name: unquote(rest) };
}

/** `name = value` or `name: value`, whichever sign comes first. */
function parseProperty(content: string): { readonly key: string; readonly value: string } | undefined {
  const match = /^([^=:]+?)\s*[=:]\s*(.*)$/s.exec(content);
  if (match === null) return undefined;
  const [, key = '', rest = ''] = match;
  return { key: key.toLowerCase(), value: parseValue(rest) };
}

/**
 * A comment begins at a # or ; with space before it: the Go SDK cuts at any, and botocore nowhere, so that a secret that holds one
 * is whole here, and a comment is none of the key's.
 */
function parseValue(rest: string): string {
  const quoted = /^(["'])((?:\\.|(?!\1).)*)\1\s*(?:[#;].*)?$/s.exec(rest);
  if (quoted !== null) return (quoted[2] ?? '').replace(/\\(["'])/g, '$1');
  return (rest.split(/(?:^|\s)[#;]/, 1)[0] ?? '').trim();
}

function unquote(text: string): string {
  return /^(["'])(.*)\1$/.exec(text)?.[2]?.trim() ?? text;
}
