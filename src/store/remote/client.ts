// GETs for stores without an SDK: over connections of the program's own, straight into sinks; through a proxy with Node's client.
import { Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import type { TlsOptions } from '../http/connection.ts';
import type { Answer, Receiver } from '../http/exchange.ts';
import { formatRequestHead } from '../http/message.ts';
import { ConnectionPool } from '../http/pool.ts';
import { TransientError } from '../retry/policy.ts';
import { fillFromStream } from './fill.ts';
import { bypassesProxy, type Destination, type ProxyEnvironment } from './proxy.ts';

export interface ClientOptions {
  /** The server that all requests go to. */
  readonly origin: Destination;
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  /** Idle connections kept. */
  readonly keep: number;
  readonly connectMs: number;
}

export interface ClientRequest {
  /** Path and query, encoded. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
}

export class HttpClient {
  readonly #options: ClientOptions;
  readonly #pool: ConnectionPool | undefined;
  readonly #agent: Agent | undefined;
  readonly #host: string;

  constructor(options: ClientOptions) {
    const { origin, tls, proxies, keep } = options;
    this.#options = options;
    const standard = origin.port === (origin.protocol === 'https:' ? 443 : 80);
    this.#host = standard ? origin.hostname : `${origin.hostname}:${origin.port}`;
    if (bypassesProxy(proxies, origin)) {
      this.#pool = new ConnectionPool(origin, options);
      return;
    }
    const agent = { keepAlive: true, maxFreeSockets: keep, scheduling: 'lifo' as const, proxyEnv: { ...proxies } };
    this.#agent = origin.protocol === 'https:' ? new TlsAgent({ ...agent, ...tls }) : new Agent(agent);
  }

  /** Gives the answer, whatever its status. Rejects as the connection or the receiver fails, or with the signal's reason. */
  async get({ target, headers }: ClientRequest, receiver: Receiver, signal: AbortSignal): Promise<Answer> {
    const all = { host: this.#host, 'accept-encoding': 'identity', 'user-agent': 'kubevirt-datamover', ...headers };
    if (this.#pool === undefined) return await this.#throughProxy({ target, headers: all }, receiver, signal);
    return await this.#pool.exchange(formatRequestHead({ method: 'GET', target, headers: all }), receiver, signal);
  }

  /** Ends all connections. */
  close(): void {
    this.#pool?.close();
    this.#agent?.destroy();
  }

  async #throughProxy(request: ClientRequest, receiver: Receiver, signal: AbortSignal): Promise<Answer> {
    const answer = await this.#answerOf(request, signal);
    const headers = headersOf(answer);
    const status = answer.statusCode ?? 0;
    const reason = answer.statusMessage ?? '';
    try {
      const sink = receiver.onHead({ status, headers });
      if (sink === undefined) return { status, reason, headers, body: await beginningOf(answer) };
      await fillFromStream(answer, sink, signal);
      if (!answer.complete) throw new TransientError('the server closed the connection in the middle of a body');
      return { status, reason, headers, body: new Uint8Array(0) };
    } catch (error) {
      answer.destroy();
      throw error;
    }
  }

  async #answerOf({ target, headers }: ClientRequest, signal: AbortSignal): Promise<IncomingMessage> {
    const { protocol, hostname, port } = this.#options.origin;
    signal.throwIfAborted();
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const host = hostname.replace(/^\[(.*)\]$/, '$1');
      const options = { host, port, path: target, headers, agent: this.#agent, signal };
      const sent = protocol === 'https:' ? requestHttps(options) : requestHttp(options);
      sent.on('response', resolve);
      sent.on('error', (error) => reject(signal.aborted ? signal.reason : error));
      sent.end();
    });
  }
}

function headersOf({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
}

/** An error's body is small; what is larger is none that could be understood. */
const MAX_TEXT = 64 * 1024;

async function beginningOf(answer: IncomingMessage): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Uint8Array>) {
    pieces.push(piece);
    size += piece.length;
    if (size >= MAX_TEXT) break;
  }
  return Buffer.concat(pieces);
}
