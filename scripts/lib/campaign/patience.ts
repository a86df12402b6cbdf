// Loop devices are few (eight, where the kernel was not told otherwise), and shared with whoever else works here.
import { setTimeout as delay } from 'node:timers/promises';

/** Does `make` again, second by second, while it fails; at most two minutes. What `make` left half done is its own to undo. */
export async function withPatience<T>(make: () => T | Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await make();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await delay(1000);
    }
  }
}

const ATTEMPTS = 120;
