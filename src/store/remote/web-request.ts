// Small requests to services other than the store: those that give tokens and keys.
import { Agent, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import type { TlsOptions } from '../http/connection.ts';
import type { ProxyEnvironment } from './proxy.ts';

export interface WebOptions {
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  /** The complete answer may take so long. */
  readonly answerMs: number;
  readonly signal?: AbortSignal;
}

export interface WebRequest {
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface WebAnswer {
  readonly status: number;
  /** The server's clock: its `Date` header. */
  readonly date: string | undefined;
  /** At most 256 KiB of it. */
  readonly body: string;
}

/** Rejects as the connection fails (ETIMEDOUT after `answerMs`), or with the signal's reason. */
export async function requestWeb(url: URL, request: WebRequest, options: WebOptions): Promise<WebAnswer> {
  const { tls, proxies, answerMs, signal } = options;
  const deadline = AbortSignal.timeout(answerMs);
  const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
  const secure = url.protocol === 'https:';
  const agent = secure ? new TlsAgent({ proxyEnv: { ...proxies }, ...tls }) : new Agent({ proxyEnv: { ...proxies } });
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const { method, body = '' } = request;
      const length = method === 'GET' ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      const headers = { 'user-agent': 'kubevirt-datamover', ...length, ...request.headers };
      const send = secure ? requestHttps : requestHttp;
      send(url, { method, headers, agent, signal: either }, resolve).on('error', reject).end(body);
    });
    return { status: answer.statusCode ?? 0, date: answer.headers.date, body: await beginningOf(answer) };
  } catch (error) {
    signal?.throwIfAborted();
    if (!deadline.aborted) throw error;
    throw Object.assign(new Error('no answer in time', { cause: error }), { code: 'ETIMEDOUT' });
  } finally {
    agent.destroy();
  }
}

const MAX_BODY = 256 * 1024;

async function beginningOf(answer: IncomingMessage): Promise<string> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of answer as AsyncIterable<Uint8Array>) {
    pieces.push(piece);
    size += piece.length;
    if (size >= MAX_BODY) break;
  }
  return Buffer.concat(pieces).toString('utf8');
}
