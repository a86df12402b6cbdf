// Connections to one server, kept while they are idle.
import { Connection, type ConnectOptions, type Origin, StaleConnection } from './connection.ts';
import type { Answer, Receiver } from './exchange.ts';

/** An idle connection is not trusted for longer: servers close theirs after 20 s and more, firewalls forget them in silence. */
const IDLE_MS = 15_000;

export interface PoolOptions extends ConnectOptions {
  /** So many are kept when idle. How many are used at once is the callers' affair: a read that waits for a place behind
   * reads whose sinks wait for it would never end. */
  readonly keep: number;
}

export class ConnectionPool {
  readonly #origin: Origin;
  readonly #options: PoolOptions;
  readonly #all = new Set<Connection>();
  #idle: { readonly connection: Connection; readonly since: number }[] = [];

  constructor(origin: Origin, options: PoolOptions) {
    this.#origin = origin;
    this.#options = options;
  }

  /** One request and its answer. A kept connection that the server had closed costs one more try, on a fresh one. */
  async exchange(head: string, receiver: Receiver, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const kept = this.#takeIdle();
    if (kept !== undefined) {
      try {
        return await this.#use(kept, head, receiver, signal);
      } catch (error) {
        if (!(error instanceof StaleConnection)) throw error;
      }
    }
    const fresh = new Connection(this.#origin, this.#options);
    this.#all.add(fresh);
    return await this.#use(fresh, head, receiver, signal);
  }

  close(): void {
    for (const connection of this.#all) connection.close();
    this.#all.clear();
    this.#idle = [];
  }

  async #use(connection: Connection, head: string, receiver: Receiver, signal: AbortSignal): Promise<Answer> {
    try {
      return await connection.exchange(head, receiver, signal);
    } finally {
      if (connection.idle && this.#idle.length < this.#options.keep) {
        this.#idle.push({ connection, since: performance.now() });
      } else {
        this.#discard(connection);
      }
    }
  }

  /** The one used last: its congestion window is the widest. */
  #takeIdle(): Connection | undefined {
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      const { connection, since } = entry;
      if (connection.idle && performance.now() - since < IDLE_MS) return connection;
      this.#discard(connection);
    }
    return undefined;
  }

  #discard(connection: Connection): void {
    connection.close();
    this.#all.delete(connection);
  }
}
