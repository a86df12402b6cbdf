// How long a read waits for a byte, as the environment sets it.
import { DatamoverError } from '../../errors.ts';
import { type Environment, variable } from './environment.ts';

const READ_TIMEOUT = 'KUBEVIRT_DM_READ_TIMEOUT_SECONDS';
const MOST_READ_TIMEOUT_SECONDS = 3600;

/** Milliseconds, or undefined when the environment sets none; an empty variable counts as unset. USAGE for what is no number of seconds. */
export function readTimeoutMs(env: Environment): number | undefined {
  const text = variable(env, READ_TIMEOUT);
  if (text === undefined) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds > 0 && seconds <= MOST_READ_TIMEOUT_SECONDS) return seconds * 1000;
  throw new DatamoverError(
    'USAGE',
    `${READ_TIMEOUT}: expected a number of seconds up to ${MOST_READ_TIMEOUT_SECONDS}, got ${JSON.stringify(text)}`,
    {
      hint: 'set it to a number such as 60, or unset it for 30',
    },
  );
}
