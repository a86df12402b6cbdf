// The shells that `completion` writes for.
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import type { CompletionCommand } from './tree.ts';
import { zshCompletion } from './zsh.ts';

export const SHELLS: ReadonlyMap<string, (commands: readonly CompletionCommand[]) => string> = new Map([
  ['bash', bashCompletion],
  ['zsh', zshCompletion],
  ['fish', fishCompletion],
]);
