// Programs of util-linux that start others (setpriv, prlimit, flock): what they say when they fail themselves.
import { DatamoverError } from './errors.ts';

/** The oldest util-linux whose setpriv has --pdeathsig (2018). */
const MIN_VERSION = '2.33';

/**
 * The error of a launcher that did not start its program, after what was said on stderr; undefined when no launcher complains.
 * TOOL_MISSING when the program or the launcher's option is missing (busybox has programs of the same names), else
 * TOOL_FAILED.
 */
export function launcherFailure(launchers: readonly string[], stderr: string): DatamoverError | undefined {
  const [first = ''] = stderr.trimStart().split('\n', 1);
  const match = new RegExp(`^(?:\\S*/)?(${launchers.join('|')}): (.*)$`).exec(first);
  if (match === null) return undefined;
  const [, launcher = '', said = ''] = match;
  const program = /^failed to execute (\S+): /.exec(said)?.[1];
  if (program !== undefined) return programMissing(program, /No such file/.test(said) ? undefined : said);
  if (
    /unrecognized option|invalid option|unknown option|applet not found|multi-call binary/i.test(`${said}\n${stderr}`)
  ) {
    return new DatamoverError('TOOL_MISSING', `${launcher} is too old, or not the one of util-linux: ${said}`, {
      hint: `install util-linux ${MIN_VERSION} or newer: apt-get install util-linux, apk add util-linux (and put it before busybox on PATH)`,
    });
  }
  return new DatamoverError('TOOL_FAILED', `${launcher} failed: ${said}`, {
    hint: `check the restrictions on ${launcher} here (seccomp, capabilities, limits), then run the same command again`,
  });
}

/** `why`: what keeps it from being run, when it was found. */
export function programMissing(program: string, why?: string): DatamoverError {
  const ofUtilLinux = /^(setpriv|prlimit|flock)$/.test(program);
  const message = why === undefined ? `${program} not found or not executable` : `${program} cannot be run: ${why}`;
  return new DatamoverError('TOOL_MISSING', message, {
    hint: `install it: apt-get install ${ofUtilLinux ? 'util-linux qemu-utils' : 'qemu-utils'} (or put it on PATH)`,
  });
}
