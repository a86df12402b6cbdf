import { TransientError } from '../retry/policy.ts';

/** What a server answered cannot be used; it rarely answers better, so few retries are worth it. */
export function unusableAnswer(reason: string): TransientError {
  return new TransientError(reason, { fewRetries: true });
}
