// Processes that a run has started, found by what stands in their environment, whoever their parent is now.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

/** A variable for the environment of a run, by which its processes are found. */
export function markEnvironment(): { readonly KDM_TEST_MARK: string } {
  return { KDM_TEST_MARK: crypto.randomUUID() };
}

/** Those whose environment holds the mark, zombies left out; `known` are ids that are not looked at, such as of older processes. */
export function processesWith(
  mark: { readonly KDM_TEST_MARK: string },
  known: ReadonlySet<string> = new Set(),
): FoundProcess[] {
  const wanted = `KDM_TEST_MARK=${mark.KDM_TEST_MARK}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !known.has(name))
    .filter((pid) => read(pid, 'environ').split('\0').includes(wanted))
    .map((pid) => ({ pid: Number(pid), command: read(pid, 'cmdline').replaceAll('\0', ' ').trim() }));
}

/** Those that are still there after the kernel had two seconds to end what was killed. */
export async function survivorsOf(mark: { readonly KDM_TEST_MARK: string }): Promise<FoundProcess[]> {
  for (let waited = 0; waited < 2000 && processesWith(mark).length > 0; waited += 20) await delay(20);
  return processesWith(mark);
}

function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // It has ended meanwhile.
    return '';
  }
}
