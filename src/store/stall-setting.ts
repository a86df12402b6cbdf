// How long a read may wait for a byte, where the user sets it.
import { DatamoverError } from '../errors.ts';
import type { Environment } from './s3-options.ts';

const NAME = 'KUBEVIRT_DM_STALL_SECONDS';
const MOST = 3600;

/** Milliseconds, or undefined when the environment sets none; an empty variable counts as unset. USAGE for what is no number of seconds. */
export function readStallMs(env: Environment): number | undefined {
  const text = env[NAME];
  if (text === undefined || text === '') return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds > 0 && seconds <= MOST) return seconds * 1000;
  throw new DatamoverError('USAGE', `${NAME} is no number of seconds up to ${MOST}: ${JSON.stringify(text)}`, {
    hint: 'set it as in 60, or leave it out for 30',
  });
}
