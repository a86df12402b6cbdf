// The messages and hints that documents quote are those that the program prints: each follows a template in the source.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import ts from 'typescript';
import { ERROR_CODES } from '../src/errors.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** Letters that a template must have of its own, so that it says something. */
const FEWEST_LETTERS = 8;

test('errors and hints in documents are those of the program', async (t) => {
  const templates = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => templatesOf(join(ROOT, 'src', path)))
    .filter((parts) => parts.join('').replace(/[^a-z]/gi, '').length >= FEWEST_LETTERS);
  const codes: readonly string[] = ERROR_CODES;
  let quoted = 0;
  for (const page of ['README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)]) {
    if (!page.endsWith('.md')) continue;
    for (const [, kind = '', code, text = ''] of blocksOf(page).matchAll(/^(error|hint)(?: ([A-Z_]+))?: (.*)$/gm)) {
      quoted += 1;
      if (kind === 'error') t.ok(codes.includes(code ?? ''), `${page}: ${code}`);
      t.ok(
        templates.some((parts) => follows(text, parts)),
        `${page}: ${text}`,
      );
    }
  }
  t.ok(quoted > 30, `${quoted} lines`);
});

/** What stands in fences. */
function blocksOf(page: string): string {
  return [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^```.*?^```$/gms)].join('\n');
}

/** Whether the fixed parts stand in `text`, in their order: what precedes, and what is between, the program fills in. */
function follows(text: string, parts: readonly string[]): boolean {
  let from = 0;
  return parts.every((part) => {
    const at = text.indexOf(part, from);
    from = at + part.length;
    return at >= 0;
  });
}

/** The fixed parts of every string and template. */
function templatesOf(path: string): string[][] {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: string[][] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) found.push([node.text]);
    if (ts.isTemplateExpression(node)) {
      found.push([node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}
