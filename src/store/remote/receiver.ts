// Keeps what a receiver or its sink threw, since the SDK adds to the errors that pass through it.
import type { Receiver } from '../http/exchange.ts';
import type { Sink } from '../store.ts';

export class GuardedReceiver implements Receiver {
  readonly #receiver: Receiver;
  #refusal: { readonly error: unknown } | undefined;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** The first thing that was thrown. */
  get refusal(): { readonly error: unknown } | undefined {
    return this.#refusal;
  }

  onHead(head: Parameters<Receiver['onHead']>[0]): Sink | undefined {
    const sink = this.#kept(() => this.#receiver.onHead(head));
    if (sink === undefined) return undefined;
    return {
      room: () => this.#kept(() => sink.room()),
      filled: (count) => this.#kept(() => sink.filled(count))?.catch(this.#keep),
    };
  }

  #kept<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      return this.#keep(error);
    }
  }

  readonly #keep = (error: unknown): never => {
    this.#refusal ??= { error };
    throw new Refused();
  };
}

class Refused extends Error {
  override readonly name = 'Refused';
}
