// Which VMs are meant: `demo/web`, or a pattern such as `shop/*`.
import { invalidNameReason } from './object-key.ts';
import type { VmRef } from './vm-ref.ts';

export interface VmPattern {
  /** As it was given. */
  readonly text: string;
  /** The VM, where the pattern has no wildcard. */
  readonly vm: VmRef | undefined;
  matches(vm: VmRef): boolean;
}

/**
 * Reads `NAMESPACE/NAME`, in which `*` is any text within a name and `?` one character; undefined for anything else, such as
 * brackets and braces, which no name has.
 */
export function parseVmPattern(text: string): VmPattern | undefined {
  const parts = text.split('/');
  const [namespace = '', name = ''] = parts;
  if (parts.length !== 2 || /[[\]{}\\]/.test(text) || parts.some((part) => invalidNameReason(part) !== undefined))
    return undefined;
  const matchesNamespace = globTest(namespace);
  const matchesName = globTest(name);
  return {
    text,
    vm: /[*?]/.test(text) ? undefined : { namespace, name },
    matches: (vm) => matchesNamespace(vm.namespace) && matchesName(vm.name),
  };
}

/** In time linear in the name for each `*`, however the pattern is made: no backtracking into an earlier `*`. */
function globTest(glob: string): (name: string) => boolean {
  return (name) => {
    let at = 0;
    let place = 0;
    let star = -1;
    let retry = 0;
    while (place < name.length) {
      const wanted = glob[at];
      if (wanted === '*') {
        star = at;
        retry = place;
        at += 1;
      } else if (wanted === '?' || wanted === name[place]) {
        at += 1;
        place += 1;
      } else if (star !== -1) {
        at = star + 1;
        retry += 1;
        place = retry;
      } else return false;
    }
    while (glob[at] === '*') at += 1;
    return at === glob.length;
  };
}
