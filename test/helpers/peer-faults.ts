// What the misbehaving peer does to an answer.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export type Fault =
  /** The connection is reset: before the answer, or after so many bytes of the body. */
  | { readonly kind: 'reset'; readonly after?: number }
  /** The connection is closed, in the same places. */
  | { readonly kind: 'cut'; readonly after?: number }
  /** Nothing more comes, in the same places; the connection stays. */
  | { readonly kind: 'stall'; readonly after?: number }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Passes as soon as the promise resolves; is reset then, if so wished. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown>; readonly reset?: boolean }
  | { readonly kind: 'throttle'; readonly bytesPerSecond: number }
  /** An error of the server's: its status, its S3 code, seconds to wait. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly code?: string;
      readonly retryAfter?: number;
      /** The server's clock. */
      readonly date?: string;
      /** A web page instead of S3's words. */
      readonly page?: boolean;
      /** Milliseconds until it comes. */
      readonly afterMs?: number;
    }
  /** A web page, with 200. */
  | { readonly kind: 'page' }
  /** Bytes that are no HTTP. */
  | { readonly kind: 'garbage' }
  /** Whole in itself, but so many bytes less than was asked for. */
  | { readonly kind: 'short'; readonly bytes: number }
  /** So many bytes more than was asked for. */
  | { readonly kind: 'long'; readonly bytes: number }
  /** Without a length, ended by the connection; `after` so many bytes, or whole. */
  | { readonly kind: 'unframed'; readonly after?: number }
  /** Right, but chunked; `extra` bytes more. */
  | { readonly kind: 'chunked'; readonly extra?: number }
  /** 200 and the object's whole length; what is not there is made up. */
  | { readonly kind: 'ignore-range' }
  /** A Content-Range (and bytes) that many bytes further on. */
  | { readonly kind: 'shift'; readonly bytes: number }
  /** A Content-Range with another total. */
  | { readonly kind: 'total'; readonly total: number }
  /** All looks right, but one bit of the body's first byte is not. */
  | { readonly kind: 'flip' }
  /** Another version: other ETag and time, other bytes. */
  | { readonly kind: 'swap' }
  | { readonly kind: 'no-etag' }
  /** Right, with these headers besides. */
  | { readonly kind: 'headers'; readonly add: Readonly<Record<string, string>> };

/** Faults that need nothing of the server. True when the answer was given. */
export async function faultyHead(
  fault: Fault | undefined,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<boolean> {
  if (fault === undefined) return false;
  if (fault.kind === 'delay') {
    await delay(fault.ms, undefined, { ref: false });
    return false;
  }
  if (fault.kind === 'hold') {
    await fault.until;
    if (fault.reset !== true) return false;
    endConnection('reset', outgoing);
    return true;
  }
  const bodiless = incoming.method === 'HEAD';
  if (
    (fault.kind === 'reset' || fault.kind === 'cut' || fault.kind === 'stall') &&
    (fault.after === undefined || bodiless)
  ) {
    endConnection(fault.kind, outgoing);
    return true;
  }
  if (fault.kind === 'status') {
    const { status, code = 'InternalError', retryAfter, date, page = false, afterMs = 0 } = fault;
    if (afterMs > 0) await delay(afterMs, undefined, { ref: false });
    outgoing.writeHead(status, {
      'content-type': page ? 'text/html' : 'application/xml',
      ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
      ...(date === undefined ? {} : { date }),
    });
    const words = page ? '<html>default backend</html>' : `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`;
    outgoing.end(bodiless ? '' : words);
    return true;
  }
  if (fault.kind === 'page') {
    outgoing.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome to the hotel</html>');
    return true;
  }
  if (fault.kind === 'garbage') {
    outgoing.socket?.end('SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n');
    return true;
  }
  return false;
}

/** Passes an answer on, spoilt as the fault says. */
export async function faultyBody(passage: {
  readonly response: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly record: { readonly method: string; readonly fault: Fault | undefined; sent: number };
}): Promise<void> {
  const { response, outgoing, record } = passage;
  const { fault } = record;
  // An answer to HEAD and an error have no body to spoil.
  const good = (response.statusCode ?? 0) < 300 && record.method === 'GET';
  const headers = good || fault?.kind === 'headers' ? spoiltHeaders(response, fault) : { ...response.headers };
  outgoing.sendDate = false;
  if (fault?.kind === 'unframed') outgoing.useChunkedEncodingByDefault = false;
  outgoing.writeHead(good && fault?.kind === 'ignore-range' ? 200 : (response.statusCode ?? 502), headers);
  outgoing.flushHeaders();
  const limit = good ? sendLimit(response, fault) : Number.POSITIVE_INFINITY;
  const flip = fault?.kind === 'swap' || fault?.kind === 'shift' ? 0xff : 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const piece = chunk.subarray(0, Math.max(0, limit - record.sent));
    if (fault?.kind === 'flip' && record.sent === 0) piece[0] = (piece[0] ?? 0) ^ 1;
    await send(outgoing, flip === 0 ? piece : piece.map((byte) => byte ^ flip), fault);
    record.sent += piece.length;
    if (record.sent >= limit) break;
  }
  if (!good) {
    outgoing.end();
    return;
  }
  const extra = extraBytes(response, fault);
  if (extra > 0) await send(outgoing, Buffer.alloc(extra, 0x5a), fault);
  record.sent += extra;
  if (fault !== undefined && 'after' in fault && fault.after !== undefined && fault.kind !== 'unframed') {
    endConnection(fault.kind, outgoing);
  } else {
    outgoing.end();
  }
}

/** What the server itself would send of another version: before any dialect has its way with it. */
export function asOtherVersion(response: IncomingMessage): void {
  const { headers } = response;
  if ((response.statusCode ?? 0) >= 300) return;
  headers.etag = '"00000000000000000000000000000000"';
  const modified = Date.parse(headers['last-modified'] ?? '');
  if (!Number.isNaN(modified)) headers['last-modified'] = new Date(modified + 60_000).toUTCString();
}

function spoiltHeaders(
  response: IncomingMessage,
  fault: Fault | undefined,
): Record<string, string | string[] | undefined> {
  const headers = { ...response.headers };
  const length = Number(headers['content-length'] ?? 0);
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '');
  const [first = 0, last = 0, total = 0] = range?.slice(1).map(Number) ?? [];
  switch (fault?.kind) {
    case 'short':
      headers['content-length'] = String(length - fault.bytes);
      break;
    case 'long':
      headers['content-length'] = String(length + fault.bytes);
      break;
    case 'unframed':
      delete headers['content-length'];
      headers.connection = 'close';
      break;
    case 'chunked':
      delete headers['content-length'];
      headers['transfer-encoding'] = 'chunked';
      break;
    case 'ignore-range':
      if (range === null) break;
      delete headers['content-range'];
      headers['content-length'] = String(total);
      break;
    case 'shift':
      headers['content-range'] = `bytes ${first + fault.bytes}-${last + fault.bytes}/${total}`;
      break;
    case 'total':
      headers['content-range'] = `bytes ${first}-${last}/${fault.total}`;
      break;
    case 'no-etag':
      delete headers.etag;
      break;
    case 'headers':
      Object.assign(headers, fault.add);
      break;
    default:
  }
  return headers;
}

function sendLimit(response: IncomingMessage, fault: Fault | undefined): number {
  if (fault?.kind === 'short') return Number(response.headers['content-length'] ?? 0) - fault.bytes;
  if (fault !== undefined && 'after' in fault) return fault.after ?? Number.POSITIVE_INFINITY;
  return Number.POSITIVE_INFINITY;
}

function extraBytes(response: IncomingMessage, fault: Fault | undefined): number {
  if (fault?.kind === 'long') return fault.bytes;
  if (fault?.kind === 'chunked') return fault.extra ?? 0;
  if (fault?.kind !== 'ignore-range') return 0;
  const total = Number(/\/(\d+)$/.exec(response.headers['content-range'] ?? '')?.[1] ?? 0);
  return Math.max(0, total - Number(response.headers['content-length'] ?? 0));
}

async function send(outgoing: ServerResponse, bytes: Uint8Array, fault: Fault | undefined): Promise<void> {
  if (fault?.kind === 'throttle') {
    const step = Math.max(1, Math.floor(fault.bytesPerSecond / 50));
    for (let done = 0; done < bytes.length; done += step) {
      await write(outgoing, bytes.subarray(done, done + step));
      await delay(20);
    }
    return;
  }
  await write(outgoing, bytes);
}

async function write(outgoing: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (bytes.length === 0) return;
  if (outgoing.destroyed) throw new Error('the program went away');
  if (outgoing.write(bytes)) return;
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => reject(new Error('the program went away'));
    outgoing.once('close', onClose);
    outgoing.once('drain', () => {
      outgoing.off('close', onClose);
      resolve();
    });
  });
}

/** What was written before goes out first: a reset would overtake it. */
function endConnection(kind: 'reset' | 'cut' | 'stall', outgoing: ServerResponse): void {
  const { socket } = outgoing;
  if (socket === null || kind === 'stall') return;
  if (kind === 'cut') {
    socket.end();
    return;
  }
  // Not at 'drain', which is told only when so much waits that the writer was held back.
  socket.write('', () => socket.resetAndDestroy());
}
