// A misbehaving peer: an HTTP proxy on loopback between the program and an S3 server, which passes, spoils or withholds
// answers as a plan says, request by request. All faults happen on the wire.
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestUpstream,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type Dialect, spoken, unsigned } from './peer-dialect.ts';
import { asOtherVersion, type Fault, faultyBody, faultyHead } from './peer-faults.ts';
import { seededRandom } from './random.ts';
import type { Owner } from './tmp.ts';

export type { Fault } from './peer-faults.ts';

export interface PeerRequest {
  readonly method: string;
  /** Decoded, without the query: `/bucket/prefix/key`. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Of a ranged GET. */
  readonly range: { readonly first: number; readonly last: number } | undefined;
  /** 1 for the first request of this method, path and range. */
  readonly nth: number;
  /** 1 for the first request of all. */
  readonly index: number;
  /** 0 … 1, the same for the same seed, method, path in the bucket, range and nth, in whatever order requests come. */
  readonly random: () => number;
}

interface PeerRecord extends PeerRequest {
  readonly fault: Fault | undefined;
  /** Bytes of the body sent so far. */
  sent: number;
}

/** Says what becomes of a request; undefined lets it pass. */
export type PeerPlan = (request: PeerRequest) => Fault | undefined;

export interface PeerOptions {
  /** `http://host:port` of the real server. */
  readonly upstream: string;
  readonly seed?: number;
  readonly plan?: PeerPlan;
  /** How the server speaks, faults apart. */
  readonly dialect?: Dialect;
  /** Speak TLS to the program. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ciphers?: string };
}

export interface Peer {
  /** To be given to the program instead of the server's. */
  readonly endpoint: string;
  /** May be changed at any time. */
  plan: PeerPlan;
  /** Every request that came, in order. */
  readonly requests: readonly PeerRecord[];
  /** Requests of `method`, of keys that end in `key`. */
  count(method: string, key?: string): number;
  /** Body bytes sent, of keys that end in `key`. */
  bytes(key?: string): number;
  /** Connections that are open now. */
  readonly connections: number;
  /** Resolves when none is open. */
  allClosed(): Promise<void>;
  /** Closes the connections on which no request is under way. */
  dropIdle(): void;
  close(): Promise<void>;
}

/** Starts a peer; it ends with `t` if one is given, else by `close`. */
export async function startPeer(
  { upstream, seed = 1, plan = () => undefined, dialect = {}, tls }: PeerOptions,
  t?: Owner,
): Promise<Peer> {
  const requests: PeerRecord[] = [];
  const seen = new Map<string, number>();
  const sockets = new Set<Socket>();
  const waiting: (() => void)[] = [];
  const agent = new Agent({ keepAlive: true });
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const asked = describeRequest(incoming, { seed, seen, index: requests.length + 1 });
    const record: PeerRecord = { ...asked, fault: peer.plan(asked), sent: 0 };
    requests.push(record);
    answer({ incoming, outgoing, record, dialect, upstream, agent }).catch(() => {
      // The program or the server went away in the middle: the program's end shall see a reset, not a wait.
      outgoing.socket?.resetAndDestroy();
    });
  };
  const server = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest);
  server.keepAliveTimeout = 60_000;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      if (sockets.size === 0) for (const resolve of waiting.splice(0)) resolve();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const ofKey = (key: string): PeerRecord[] => requests.filter(({ path }) => path.endsWith(key));
  const peer: Peer = {
    endpoint: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    plan,
    requests,
    count: (method, key = '') => ofKey(key).filter((record) => record.method === method).length,
    bytes: (key = '') => ofKey(key).reduce((sum, { sent }) => sum + sent, 0),
    get connections() {
      return sockets.size;
    },
    allClosed: () => new Promise((resolve) => (sockets.size === 0 ? resolve() : waiting.push(resolve))),
    dropIdle: () => server.closeIdleConnections(),
    close: async () => {
      agent.destroy();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  t?.teardown(() => peer.close());
  return peer;
}

function describeRequest(
  incoming: IncomingMessage,
  { seed, seen, index }: { readonly seed: number; readonly seen: Map<string, number>; readonly index: number },
): PeerRequest {
  const url = new URL(incoming.url ?? '/', 'http://peer');
  const match = /^bytes=(\d+)-(\d+)$/.exec(incoming.headers.range ?? '');
  const range = match === null ? undefined : { first: Number(match[1]), last: Number(match[2]) };
  const method = incoming.method ?? 'GET';
  const path = decodeURIComponent(url.pathname);
  const name = `${method} ${path} ${match?.[0] ?? ''}`;
  const nth = (seen.get(name) ?? 0) + 1;
  seen.set(name, nth);
  // Without the bucket: tests make buckets of new names.
  const random = seededRandom(`${seed} ${name.replace(/ \/[^/ ]*/, '')} ${nth}`);
  return { method, path, query: url.searchParams, headers: incoming.headers, range, nth, index, random };
}

interface Passage {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly record: PeerRecord;
  readonly dialect: Dialect;
  readonly upstream: string;
  readonly agent: Agent;
}

async function answer({ incoming, outgoing, record, dialect, upstream, agent }: Passage): Promise<void> {
  if (await faultyHead(record.fault, incoming, outgoing)) return;
  const { method, query } = record;
  const asked = {
    method,
    url: new URL(`${upstream}${incoming.url ?? '/'}`),
    headers: dialect.rewrite === undefined ? incoming.headers : unsigned(incoming.headers),
    list: method === 'GET' && query.has('delimiter'),
  };
  const refusal = dialect.refuse?.(asked);
  if (refusal !== undefined) {
    await faultyHead({ kind: 'status', ...refusal }, incoming, outgoing);
    return;
  }
  dialect.rewrite?.(asked);
  // The headers go on as they are: the host among them is signed.
  const { url, headers } = asked;
  const forward = requestUpstream(url, { method, headers, agent });
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    forward.on('response', resolve).on('error', reject);
    incoming.pipe(forward);
  });
  outgoing.on('close', () => response.destroy());
  if (record.fault?.kind === 'swap' && method === 'GET') asOtherVersion(response);
  await faultyBody({ response: await spoken(dialect, asked, response), outgoing, record });
}
