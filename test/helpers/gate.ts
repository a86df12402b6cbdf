// A gate before qemu-img: the sub-command that a test names waits, as on a very slow disk, until the test lets it go.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

export interface Gate {
  /** With it the program finds the gate in qemu-img's place. */
  readonly env: { readonly PATH: string };
  /** Resolves with the process id of the one that waits. */
  reached(): Promise<number>;
  /** As `reached`, but rejects with what the program said if it ends without such a call. */
  reachedBefore(end: Promise<{ readonly stderr: string }>): Promise<number>;
  /** Lets it go on, as the real qemu-img. */
  open(): void;
}

/**
 * The `nth` call whose arguments match `pattern` (an extended regular expression over all of them, separated by spaces)
 * waits; all others pass.
 */
export function gateBefore(t: Test, pattern: string, { nth = 1 }: { readonly nth?: number } = {}): Gate {
  // Made in the script's own folder, `call-N` counts; bash becomes qemu-img, so that the process stays the same.
  return makeGate(t, 'qemu-img', `a call that matches ${pattern}`, ({ folder, tool, hold }) => {
    return `pattern='${pattern}'
if [[ "$*" =~ $pattern ]]; then
  n=1
  while ! mkdir '${folder}/call-'$n 2>/dev/null; do n=$((n + 1)); done
  if [ $n -eq ${nth} ]; then
    ${hold}
  fi
fi
exec ${tool} "$@"`;
  });
}

/**
 * The first qemu-io ends when the test lets it, not when it is told to: the program waits for it, with all that it has written in
 * place. It is killed after 3 s.
 */
export function gateAfterZeroing(t: Test): Gate {
  return makeGate(t, 'qemu-io', 'a qemu-io', ({ folder, tool, hold }) => {
    // Without job control bash would give a child in the background no standard input.
    return `[ "$1" = --version ] && exec ${tool} "$@"
exec 3<&0
${tool} "$@" <&3 &
child=$!
trap 'kill $child 2>/dev/null' TERM
wait $child
status=$?
wait $child
trap '' TERM
if mkdir '${folder}/call' 2>/dev/null; then
  ${hold}
fi
exit $status`;
  });
}

interface GateParts {
  readonly folder: string;
  /** The real tool. */
  readonly tool: string;
  /** Says that it is reached, and waits. */
  readonly hold: string;
}

function makeGate(t: Test, name: 'qemu-img' | 'qemu-io', what: string, script: (parts: GateParts) => string): Gate {
  const folder = tempFolder(t);
  const tool = execFileSync('which', [name], { encoding: 'utf8' }).trim();
  const [reached, opened] = [join(folder, 'reached'), join(folder, 'opened')];
  execFileSync('mkfifo', [reached, opened]);
  const hold = `echo $$ >'${reached}'; read -r _ <'${opened}'`;
  writeFileSync(join(folder, name), `#!/bin/bash\n${script({ folder, tool, hold })}\n`, { mode: 0o755 });
  // Both ends open, so that neither opening waits nor the end is seen when the script is killed.
  const flags = constants.O_RDWR | constants.O_NONBLOCK;
  const socket = new Socket({ fd: openSync(reached, flags), readable: true, writable: false });
  const release = openSync(opened, flags);
  t.teardown(() => {
    socket.destroy();
    closeSync(release);
  });
  const waitFor = async (): Promise<number> => {
    const [said] = await once(socket, 'data');
    return Number(String(said).trim());
  };
  return {
    env: { PATH: `${folder}:${process.env.PATH ?? ''}` },
    reached: waitFor,
    reachedBefore: (end) =>
      Promise.race([
        waitFor(),
        end.then(({ stderr }) => Promise.reject(new Error(`it ended without ${what}: ${stderr}`))),
      ]),
    open: () => void writeSync(release, '\n'),
  };
}
