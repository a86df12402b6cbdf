// Why a shared access signature was refused, as far as the token itself shows it; it is never quoted. Pure.
import type { ErrorAnswer } from '../remote/error-answer.ts';
import { SAS } from './hints.ts';

const NEW_TOKEN = `put a new one into the file of ${SAS}: az storage container generate-sas --permissions rl --expiry …`;

/** `now` as `Date.now()`. */
export function explainSas(
  query: string,
  { code, text }: Pick<ErrorAnswer, 'code' | 'text'>,
  now: number,
): { readonly why: string; readonly hint: string } {
  const token = new URLSearchParams(query);
  const [start, end] = [timeOf(token.get('st')), timeOf(token.get('se'))];
  if (end !== undefined && end <= now) {
    return { why: `the shared access signature expired at ${new Date(end).toISOString()}`, hint: NEW_TOKEN };
  }
  if (start !== undefined && start > now) {
    const why = `the shared access signature is not valid before ${new Date(start).toISOString()}`;
    return { why, hint: `check the clock of this machine (\`date\`), or ${NEW_TOKEN}` };
  }
  if (/not valid in the specified time frame|expired/i.test(text)) {
    return { why: 'the shared access signature has expired', hint: NEW_TOKEN };
  }
  const missing = [...'rl'].filter((right) => token.has('sp') && !(token.get('sp') ?? '').includes(right));
  if (missing.length > 0) {
    const names = missing.map((right) => (right === 'r' ? 'read (r)' : 'list (l)')).join(' and ');
    return { why: `the shared access signature does not permit ${names}`, hint: NEW_TOKEN };
  }
  const resource = token.get('sr');
  if (resource !== null && resource !== 'c') {
    const why = 'the shared access signature is not for a container';
    return { why, hint: NEW_TOKEN };
  }
  if (code === 'AuthorizationProtocolMismatch') {
    return { why: 'the shared access signature permits https only', hint: 'use an https endpoint' };
  }
  if (code === 'AuthorizationSourceIPMismatch') {
    return { why: 'the shared access signature is for another address than this one', hint: NEW_TOKEN };
  }
  const why = 'the shared access signature was refused';
  return {
    why,
    hint: `check that it is for this account and container, and that its key was not rotated; or ${NEW_TOKEN}`,
  };
}

function timeOf(text: string | null): number | undefined {
  const time = Date.parse(text ?? '');
  return Number.isNaN(time) ? undefined : time;
}
