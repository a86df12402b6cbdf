// The macros of man(7), and text that no character of which is one.

/** Text for a page: what roff would take for a command is escaped; what is not ASCII is named, so that no locale matters. */
export function roffText(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/[^\x20-\x7e\n]/gu, (character) => `\\[u${hexOf(character)}]`)
    .replace(/^[.']/gm, (character) => `\\&${character}`);
}

function hexOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
}

/** An argument of a macro. */
export function quoted(text: string): string {
  return `"${roffText(text).replaceAll('"', '\\(dq')}"`;
}

export function heading(title: string): string {
  return `.SH ${quoted(title.toUpperCase())}`;
}

/** A term in bold, and what it means. */
export function item(term: string, meaning: string): string {
  return [`.TP`, `.B ${quoted(term)}`, roffText(meaning)].join('\n');
}

/** Lines as they are. */
export function literal(lines: readonly string[]): string {
  return ['.PP', '.nf', ...lines.map(roffText), '.fi'].join('\n');
}

export function paragraph(text: string): string {
  return `.PP\n${roffText(text)}`;
}
