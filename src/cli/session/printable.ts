// Names from a bucket, a server or a file may hold anything: what moves a terminal's cursor is never passed on to it.

/** `text` with each control character but a line's end made visible, as `\x1b`. */
export function printable(text: string): string {
  return text.replace(CONTROL, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** As `printable`, on one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll('\n', '\\x0a');
}

// Cc without the line feed, and the marks that turn the direction of text around (Unicode Standard Annex 9).
const CONTROL = /[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069]/gu;
