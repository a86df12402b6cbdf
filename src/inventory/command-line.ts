// Command lines in hints: complete, so that they can be typed as they are.
import type { ObjectStore } from '../store/store.ts';

/** `kubevirt-datamover plan --source=… --vm=…`, with the flags that reach `store`. */
export function commandLine(store: ObjectStore, command: string, ...flags: readonly string[]): string {
  const source = store.sourceFlags ?? [`--source=${store.description}`];
  return ['kubevirt-datamover', command, ...source, ...flags].map(shellWord).join(' ');
}

/** As a POSIX shell reads it back. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
