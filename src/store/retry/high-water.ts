// How far the attempts of one body have come that begin anew each time: bytes that came before are no progress, or a body
// that is cut in the same place every time would be asked for without end.
import type { Attempt } from './attempt.ts';

export class HighWater {
  #bytes = 0;

  /** Gives what is to be told of an attempt's bytes as they come. */
  over(attempt: Attempt): (count: number) => void {
    let total = 0;
    return (count) => {
      total += count;
      if (total > this.#bytes) attempt.progress();
      else attempt.repeated();
      this.#bytes = Math.max(this.#bytes, total);
    };
  }
}
