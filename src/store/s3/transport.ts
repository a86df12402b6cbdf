// How the SDK's requests reach the server: bodies that have a receiver through our own connections, straight into their sinks;
// all else, and what must go through a proxy, through the SDK's own handler.
import { Agent } from 'node:http';
import { Agent as TlsAgent } from 'node:https';
import { pipeline, Readable, Transform } from 'node:stream';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { HttpRequest } from '@smithy/types';
import { systemCode } from '../../errors.ts';
import type { TlsOptions } from '../http/connection.ts';
import type { Answer, Receiver } from '../http/exchange.ts';
import { formatRequestHead, formatTarget } from '../http/message.ts';
import { ConnectionPool } from '../http/pool.ts';
import { fillFromStream } from '../remote/fill.ts';
import { bypassesProxy, type Destination, destinationOf, type ProxyEnvironment } from '../remote/proxy.ts';
import { refuseWebPage } from '../remote/web-page.ts';
import { keepText } from './answer.ts';
import { NO_S3_HINT } from './hints.ts';
import { headersForSdk } from './sdk-headers.ts';

type SdkRequest = Parameters<NodeHttpHandler['handle']>[0];
type SdkOptions = NonNullable<Parameters<NodeHttpHandler['handle']>[1]>;
type SdkResponse = Awaited<ReturnType<NodeHttpHandler['handle']>>;

/** Without it any encoding may be sent. Not signed, since proxies rewrite it. */
const NOT_ENCODED = { 'accept-encoding': 'identity' };

/** Options of one `send`: the SDK hands them on to its request handler as they are. */
export interface SendOptions extends SdkOptions {
  /** Takes the body of a GET; the SDK then sees an empty one. What it gives no sink for (errors' bodies) goes to the SDK. */
  receiver?: Receiver;
  /** What the server answered to the same request: nothing is sent, and the SDK sees this. */
  answer?: Answer;
  /** Told of the answer, and of its body's bytes if it is no error, where there is no receiver. */
  watch?: AnswerWatch;
}

interface AnswerWatch {
  answered(): void;
  onBytes(count: number): void;
}

export interface TransportOptions {
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  /** Idle connections kept. */
  readonly keep: number;
  readonly connectMs: number;
  /** An answer may take so long to begin. What asks for keys has no other limit. */
  readonly answerMs: number;
  /** Told of every answer, whatever it was. */
  readonly onAnswer: () => void;
}

/** A request handler of the SDK (its `requestHandler`). */
export class S3Transport {
  readonly metadata = { handlerProtocol: 'http/1.1' };
  readonly #options: TransportOptions;
  readonly #sdk: NodeHttpHandler;
  readonly #pools = new Map<string, ConnectionPool>();

  constructor(options: TransportOptions) {
    const { tls, proxies, keep, connectMs, answerMs } = options;
    const agent = { keepAlive: true, maxFreeSockets: keep, scheduling: 'lifo' as const, proxyEnv: { ...proxies } };
    this.#options = options;
    this.#sdk = new NodeHttpHandler({
      connectionTimeout: connectMs,
      requestTimeout: answerMs,
      throwOnRequestTimeout: true,
      httpAgent: new Agent(agent),
      httpsAgent: new TlsAgent({ ...agent, ...tls }),
    });
  }

  async handle(request: SdkRequest, options: SendOptions = {}): Promise<SdkResponse> {
    const { receiver, abortSignal, answer } = options;
    if (answer !== undefined) return toSdkResponse(answer);
    // What came before this, such as asking for keys, may have outlived the request.
    if (abortSignal instanceof AbortSignal) abortSignal.throwIfAborted();
    Object.assign(request.headers, NOT_ENCODED);
    if (receiver === undefined || !(abortSignal instanceof AbortSignal))
      return await this.#throughSdk(request, options);
    if (!this.isDirect(request)) {
      return await receiveStream(await this.#throughSdk(request, { abortSignal }), receiver, abortSignal);
    }
    return toSdkResponse(await this.exchange(request, receiver, abortSignal));
  }

  /** Whether requests go over connections of our own: not through a proxy. */
  isDirect(request: HttpRequest): boolean {
    return bypassesProxy(this.#options.proxies, destinationOf(request));
  }

  /** Sends a signed GET that `isDirect`, and gives its answer; the body is in the receiver's sink if that gave one. */
  async exchange(request: HttpRequest, receiver: Receiver, signal: AbortSignal): Promise<Answer> {
    const { method, path, query = {}, headers } = request;
    const target = formatTarget(path, query);
    const head = formatRequestHead({ method, target, headers: { ...headers, ...NOT_ENCODED } });
    return await this.#pool(destinationOf(request)).exchange(head, this.#noticed(receiver), signal);
  }

  /** Ends all connections. */
  destroy(): void {
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
    this.#sdk.destroy();
  }

  updateHttpClientConfig(...config: Parameters<NodeHttpHandler['updateHttpClientConfig']>): void {
    this.#sdk.updateHttpClientConfig(...config);
  }

  httpHandlerConfigs(): ReturnType<NodeHttpHandler['httpHandlerConfigs']> {
    return this.#sdk.httpHandlerConfigs();
  }

  async #throughSdk(request: SdkRequest, { abortSignal, watch }: SendOptions): Promise<SdkResponse> {
    // Who can abort has a time limit of its own, which does not count the time during which this process was stopped.
    const options = abortSignal === undefined ? {} : { abortSignal, requestTimeout: 0 };
    const answer = await this.#sdk.handle(request, options);
    this.#options.onAnswer();
    watch?.answered();
    const { response } = answer;
    response.headers = headersForSdk(response.headers);
    if (response.statusCode >= 300) await collectBody(response);
    else if (watch !== undefined) {
      response.body = watched(response.body, watch);
      refuseWebPage({ status: response.statusCode, headers: response.headers }, S3_PAGES);
    }
    return answer;
  }

  #noticed(receiver: Receiver): Receiver {
    return {
      onHead: (head) => {
        this.#options.onAnswer();
        refuseWebPage(head, S3_PAGES);
        return receiver.onHead(head);
      },
    };
  }

  #pool(destination: Destination): ConnectionPool {
    const { protocol, hostname, port } = destination;
    const name = `${protocol}//${hostname}:${port}`;
    const known = this.#pools.get(name);
    if (known !== undefined) return known;
    const pool = new ConnectionPool(destination, this.#options);
    this.#pools.set(name, pool);
    return pool;
  }
}

function toSdkResponse({ status, reason, headers, body }: Answer): SdkResponse {
  const response = { statusCode: status, reason, headers: headersForSdk(headers), body: streamOf(body) };
  keepText(response, body);
  return { response };
}

function streamOf(body: Uint8Array): Readable {
  return Readable.from(body.length === 0 ? [] : [body]);
}

/** An error's body is small; what is larger is none that could be understood. */
const MAX_TEXT = 64 * 1024;

/** Keeps the words of an error, which the SDK reads only where they are S3's. */
async function collectBody(response: SdkResponse['response']): Promise<void> {
  const body: unknown = response.body;
  if (!(body instanceof Readable)) return;
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      pieces.push(piece);
      size += piece.length;
      if (size >= MAX_TEXT) break;
    }
  } catch (error) {
    // The status says enough. Go's server resets the connection right after its 400.
    if (!isCut(error)) throw error;
  }
  const text = Buffer.concat(pieces);
  response.body = streamOf(text);
  keepText(response, text);
}

function isCut(error: unknown): boolean {
  return /^(ECONNRESET|EPIPE|ERR_STREAM_PREMATURE_CLOSE)$/.test(systemCode(error) ?? '');
}

const S3_PAGES = { ownHeader: 'x-amz-request-id', hint: NO_S3_HINT };

/** The same body, each of whose pieces is told. */
function watched(body: unknown, watch: AnswerWatch): Readable {
  if (!(body instanceof Readable)) throw new TypeError('the SDK gave no stream');
  const counted = new Transform({
    transform: (chunk: Uint8Array, _encoding, done) => {
      watch.onBytes(chunk.length);
      done(null, chunk);
    },
  });
  // Its errors are the reader's, who gets them from `counted`.
  pipeline(body, counted, () => {});
  return counted;
}

/** The way through a proxy: a stream of the SDK's handler into a sink. */
async function receiveStream(answer: SdkResponse, receiver: Receiver, signal: AbortSignal): Promise<SdkResponse> {
  const { response } = answer;
  const body: unknown = response.body;
  if (!(body instanceof Readable)) throw new TypeError('the SDK gave no stream');
  try {
    refuseWebPage({ status: response.statusCode, headers: response.headers }, S3_PAGES);
    const sink = receiver.onHead({ status: response.statusCode, headers: response.headers });
    if (sink === undefined) return answer;
    await fillFromStream(body, sink, signal);
  } catch (error) {
    body.destroy();
    throw error;
  }
  return { response: { ...response, body: Readable.from([]) } };
}
