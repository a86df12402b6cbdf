// Whether a store takes If-Match: found out once, by the first requests that carry it.
import type { DatamoverError } from '../../errors.ts';
import type { Pin } from './pin.ts';

/** The server refused a request that carried If-Match, perhaps because of it. */
export class ConditionRefused extends Error {
  override readonly name = 'ConditionRefused';
  /** What the refusal means when If-Match is not the cause. */
  readonly otherwise: DatamoverError;

  constructor(otherwise: DatamoverError) {
    super(otherwise.message, { cause: otherwise });
    this.otherwise = otherwise;
  }
}

/** Whether an answer may mean that the server does not know a header or parameter. */
export function refusesFeature(status: number | undefined, name = 'Unknown'): boolean {
  return (
    status === 501 ||
    (status === 400 && /^(Unknown|BadRequest|NotImplemented|Invalid(Request|Argument|Header|Tag))$/.test(name))
  );
}

export class IfMatch {
  #state: 'unknown' | 'taken' | 'refused' = 'unknown';

  /** The header for a pin; undefined when none is to be sent. A weakened tag is sent as the strong one it was made from. */
  headerFor({ tag }: Pin): string | undefined {
    return tag === undefined || this.#state === 'refused' ? undefined : `"${tag}"`;
  }

  /** A request that carried it succeeded: a refusal later on is about the object. */
  taken(): void {
    if (this.#state === 'unknown') this.#state = 'taken';
  }

  /**
   * Sends a request with If-Match and, when that is refused, without it: a proxy that weakens tags answers 412 to each of them, other
   * servers do not know the header. Either way the answer's own pin is compared with the object's. A refusal is final only for a
   * strong tag, and only where the store has taken the header before.
   */
  async send(pin: Pin, request: (ifMatch: string | undefined) => Promise<void>): Promise<void> {
    const header = this.headerFor(pin);
    try {
      await request(header);
    } catch (error) {
      if (!(error instanceof ConditionRefused)) throw error;
      if (this.#state === 'taken' && pin.strong) throw error.otherwise;
      await request(undefined);
      // It was the condition that was refused.
      this.#state = 'refused';
    }
  }
}
