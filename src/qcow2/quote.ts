// Text that an image holds, made fit for a message: quoted, without control characters, short.

const MAX_LENGTH = 120;

/** `text` in double quotes; what a terminal could act upon is escaped, what is long is cut. */
export function quoteUntrusted(text: string): string {
  const short = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
  const escaped = short.replace(/[\p{C}\p{Z}"\\]/gu, (char) =>
    char === ' ' ? char : `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
  return `"${escaped}"`;
}
