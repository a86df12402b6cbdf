// Quotes text from an image for a message: no control characters, limited length.

const MAX_LENGTH = 120;

/** `text` in double quotes; characters that a terminal could act upon are escaped, long text is truncated. */
export function quoteUntrusted(text: string): string {
  const short = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
  const escaped = short.replace(/[\p{C}\p{Z}"\\]/gu, (char) =>
    char === ' ' ? char : `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
  return `"${escaped}"`;
}
