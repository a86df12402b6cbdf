// The language, checked: messages, hints, help texts and docs use plain technical English, and none of the words below.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Each with the plain English in its place; matched as complete words, in any case. */
const RULED_OUT: readonly (readonly [words: string, instead: string])[] = [
  ['told|tells', 'reported, logged, shows'],
  ['goes on|go on|went on', 'resumes, continues'],
  ['anew', 'again; starts over'],
  ['begun|began', 'started'],
  ['ours|of ours', 'of this plan, of this run'],
  ['us|we', 'kubevirt-datamover, the program'],
  ['somebody|nobody|everybody', 'another process, another user, no other process'],
  ['is none|are none', 'invalid X'],
  ['is no \\w+', 'not an X; invalid X'],
  ['is there|are there|not there', 'exists; not found'],
  ['whole', 'complete, intact; restorable'],
  ['at work', 'running'],
  ['came to be', 'was created'],
  ['believed', 'verified'],
  ['foreseen', 'expected'],
  ['flaw|flaws', 'defect, problem'],
  ['folder|folders', 'directory'],
  ['lies|lie|lay', 'is stored in, is under'],
  ['once more', 'again'],
  ['besides', 'also'],
  ['by hand', 'manually'],
  ['look at|looks at|looked at|look for|looks for', 'inspect, check; search'],
  ['mended', 'fixed, repaired'],
];

/** Phrases that contain one of the words and are plain English all the same, with the reason. */
const ALLOWED: readonly (readonly [phrase: RegExp, reason: string])[] = [
  [/login\.microsoftonline\.us/g, 'a host name'],
  [/is no longer/gi, 'an adverb, not "is no X"'],
  [/nobody;|nobody$/gm, 'a user and a group of Unix'],
];

/** What docs may hold; it only falls. */
const DOCS_LIMIT = 0;

const PATTERN = new RegExp(`(?<![\\w-])(?:${RULED_OUT.map(([words]) => words).join('|')})(?![\\w-])`, 'gi');

test('no message, hint or help text has a word that is ruled out', async (t) => {
  for (const path of [...filesIn('src', '.ts'), ...filesIn('scripts/lib', '.ts'), 'bin/kubevirt-datamover']) {
    const found = literalsOf(path).flatMap(({ line, text }) =>
      violations(text).map((word) => `${path}:${line}: ${word}`),
    );
    t.same(found, [], path);
  }
});

test('docs have no more such words than before', async (t) => {
  const found = [...filesIn('docs', '.md'), 'README.md'].flatMap((path) =>
    readFileSync(join(ROOT, path), 'utf8')
      .split('\n')
      .flatMap((line, index) => violations(line).map((word) => `${path}:${index + 1}: ${word}`)),
  );
  t.ok(found.length <= DOCS_LIMIT, `${found.length} words, at most ${DOCS_LIMIT}`, { found: found.slice(0, 50) });
});

function violations(text: string): string[] {
  const rest = ALLOWED.reduce((left, [phrase]) => left.replaceAll(phrase, ''), text);
  return [...rest.matchAll(PATTERN)].map(([word]) => {
    const instead = RULED_OUT.find(([words]) => new RegExp(`^(?:${words})$`, 'i').test(word))?.[1];
    return `"${word}", write: ${instead}`;
  });
}

function filesIn(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(ending))
    .map((path) => join(folder, path))
    .sort();
}

interface Literal {
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

/** String literals and the fixed parts of templates; not import paths, types, or names that are quoted as keys. */
function literalsOf(path: string): Literal[] {
  const source = ts.createSourceFile(path, readFileSync(join(ROOT, path), 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Literal[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node) || ts.isLiteralTypeNode(node)) return;
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
      found.push({ line: line + 1, text: node.text });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
