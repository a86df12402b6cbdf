// One kept connection of our own to the server: its socket reads straight into the sink of the read under way.
//
// Why not a stream: facts measured 2.7 CPU seconds per GB through the SDK's body stream, 1.8 through node:http's, 0.9
// through a socket with `onread`, since nothing is allocated, queued or copied per chunk.
import { connect, isIP, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { connect as connectTls } from 'node:tls';
import { AwakeTimer } from '../../awake.ts';
import { TransientError } from '../retry/policy.ts';
import { type Answer, BUFFER_SIZE, Exchange, HEAD_SIZE, type Receiver } from './exchange.ts';

export interface Origin {
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number;
}

export interface ConnectOptions {
  readonly tls: TlsOptions;
  /** Time that making the connection may take. */
  readonly connectMs: number;
}

/** Nothing was answered on a connection that had been kept: the server had closed it. A fresh one will do. */
export class StaleConnection extends Error {
  override readonly name = 'StaleConnection';
}

export class Connection {
  readonly #socket: Socket;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_SIZE);
  readonly #headBuffer = this.#buffer.subarray(0, HEAD_SIZE);
  readonly #connecting: AwakeTimer;
  #direct: Uint8Array | undefined;
  #exchange: Exchange | undefined;
  #exchanges = 0;
  #failure: unknown;
  #open = true;

  constructor(origin: Origin, { tls, connectMs }: ConnectOptions) {
    const host = origin.hostname.replace(/^\[(.*)\]$/, '$1');
    const { port } = origin;
    const options = { host, port, onread: { buffer: this.#room, callback: this.#onRead } };
    const named = isIP(host) === 0 ? { servername: host } : {};
    this.#socket = origin.protocol === 'http:' ? connect(options) : connectTls({ ...options, ...named, ...tls });
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true);
    this.#connecting = new AwakeTimer(connectMs, () => {
      this.#end(new TransientError(`no connection to ${host}:${port} within ${connectMs} ms`));
    });
    this.#socket.once(origin.protocol === 'http:' ? 'connect' : 'secureConnect', () => this.#connecting.clear());
    this.#socket.on('error', (error) => this.#end(error));
    this.#socket.on('end', () => this.#end());
    this.#socket.on('close', () => this.#end());
  }

  /** May be used for another exchange. */
  get idle(): boolean {
    return this.#open && this.#exchange === undefined;
  }

  /** Sends a request without a body and hands its answer to `receiver`; the connection must be idle. */
  exchange(head: string, receiver: Receiver, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const kept = this.#exchanges > 0;
      this.#exchanges += 1;
      const onAbort = (): void => exchange.cancel(signal.reason);
      const settle = (): void => {
        signal.removeEventListener('abort', onAbort);
        this.#exchange = undefined;
        // Idle, it must not keep the process alive.
        this.#socket.unref();
      };
      const exchange = new Exchange(receiver, {
        pause: () => this.#socket.pause(),
        resume: () => this.#socket.resume(),
        finished: (answer, { reusable }) => {
          settle();
          if (!reusable) this.#end();
          // A turn later: more bytes may lie in the very read (TLS: in further records), and would be the next request's answer.
          setImmediate(resolve, answer);
        },
        failed: (error) => {
          const stale = kept && exchange.untouched && !signal.aborted;
          settle();
          this.#end(error);
          reject(stale ? new StaleConnection('the kept connection was closed', { cause: error }) : error);
        },
      });
      this.#exchange = exchange;
      if (!this.#open) {
        exchange.ended(this.#failure);
        return;
      }
      signal.addEventListener('abort', onAbort);
      this.#socket.ref();
      this.#socket.write(head, 'latin1');
    });
  }

  /** Ends it at once; an exchange under way fails. */
  close(): void {
    this.#exchange?.cancel(new TransientError('the connection was closed'));
    this.#end();
  }

  /** Asked by the socket after each callback, for the bytes to come. */
  readonly #room = (): Uint8Array => {
    const exchange = this.#exchange;
    this.#direct = exchange?.directRoom();
    return this.#direct ?? (exchange?.untouched === true ? this.#headBuffer : this.#buffer);
  };

  /** Always true: after a false the next bytes would land in memory that is the sink's no more. */
  readonly #onRead = (count: number, bytes: Uint8Array): boolean => {
    const exchange = this.#exchange;
    if (exchange === undefined) this.#end();
    else if (this.#direct !== undefined) exchange.tookDirectly(count);
    else exchange.take(bytes.subarray(0, count));
    return true;
  };

  #end(error?: unknown): void {
    if (this.#open) {
      this.#open = false;
      this.#failure = error;
      this.#connecting.clear();
      this.#socket.destroy();
    }
    this.#exchange?.ended(error);
  }
}

/** What TLS connections are made with. */
export interface TlsOptions {
  /** One for all: to read the certificates takes 18 ms of CPU, which each connection would cost otherwise. */
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
}
