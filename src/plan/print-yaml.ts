// Plain data → YAML text, one document or several.
import { Document } from 'yaml';

export interface PrintOptions {
  /** Lines of comment at the top, without their `#`. */
  readonly comment?: string;
}

/** Documents are parted by `---`; no line is folded, no alias made, and text of several lines is a block. */
export function printDocuments(documents: readonly object[], { comment }: PrintOptions = {}): string {
  const head = comment === undefined ? '' : `${comment.split('\n').map(toComment).join('\n')}\n`;
  return head + documents.map(printDocument).join('---\n');
}

function printDocument(data: object): string {
  return new Document(data, { aliasDuplicateObjects: false }).toString({ lineWidth: 0, blockQuote: 'literal' });
}

function toComment(line: string): string {
  return line === '' ? '#' : `# ${line}`;
}
