// Runs the program where some directories or files are mounted a second time, in a mount namespace of its own.
import { spawnSync } from 'node:child_process';
import { type CliResult, cleanEnvironment, programPath } from './run-cli.ts';

/** What `requires` must find before `runMounted`. */
export const MOUNT_TOOLS = ['root', 'unshare', 'mount', 'sh'] as const;

/** `mounts`: from → to, bind mounts that nobody else sees and that end with the program. */
export function runMounted(mounts: Readonly<Record<string, string>>, args: readonly string[]): CliResult {
  const script = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 99; shift 2; done; shift; exec "$@"';
  const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['-m', 'sh', '-c', script, 'sh', ...Object.entries(mounts).flat(), '--', ...program],
    { env: cleanEnvironment(), encoding: 'utf8' },
  );
  return { exitCode: status, stdout, stderr };
}
