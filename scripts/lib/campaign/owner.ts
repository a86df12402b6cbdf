// Something that helpers can hang their clean-up on, as on a test: undone in the reverse order.
import type { Owner } from '../../../test/helpers/tmp.ts';

export async function withOwner<T>(work: (owner: Owner) => Promise<T>): Promise<T> {
  const steps: (() => unknown)[] = [];
  const owner: Owner = { teardown: (step: () => unknown) => void steps.push(step) };
  try {
    return await work(owner);
  } finally {
    for (const step of steps.reverse()) await step();
  }
}
