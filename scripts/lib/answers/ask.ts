// Asks a server as an S3 client does, and gives the bytes that it sends.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** How the bytes travelled: `hello` are those that answer the first message of TLS, before anything is encrypted. */
export type Over = 'http' | 'https' | 'hello';

/** A server that keeps the connection has said all by then. */
const QUIET_MS = 1500;

const REQUEST = [
  'GET /backups/disk.qcow2?x-id=GetObject HTTP/1.1',
  'host: 127.0.0.1',
  'range: bytes=0-0',
  'x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  'x-amz-date: 20260101T000000Z',
  'authorization: AWS4-HMAC-SHA256 Credential=EXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0',
];

export interface Question {
  readonly port: number;
  readonly over: Over;
  /** Instead of the object's. */
  readonly target?: string;
  readonly method?: string;
  readonly headers?: readonly string[];
  /** Whether a part is asked for. */
  readonly range?: boolean;
}

/** What the server sends in answer to one request, up to its end or until it is quiet. */
export async function ask({
  port,
  over,
  target,
  method = 'GET',
  headers = [],
  range = true,
}: Question): Promise<Buffer> {
  if (over === 'hello') return await tapped(port, (through) => hello(through));
  const socket = over === 'http' ? connect(port, '127.0.0.1') : tls(port);
  const [first = '', ...all] = REQUEST;
  const rest = range ? all : all.filter((header) => !header.startsWith('range:'));
  const line = first.replace('GET', method).replace(/ \S+ /, (path) => (target === undefined ? path : ` ${target} `));
  socket.write([line, ...rest, ...headers, '', ''].join('\r\n'));
  return await collect(socket);
}

/** Runs `client` against a relay to the port, and gives what the server sent on the client's first connection. */
export async function tapped(port: number, client: (relay: number) => Promise<void>): Promise<Buffer> {
  let recorded: Promise<Buffer> | undefined;
  const relay = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.on('error', () => far.destroy());
    near.pipe(far).pipe(near);
    recorded ??= collect(far);
  });
  await client(await listen(relay));
  relay.close();
  return (await recorded) ?? Buffer.alloc(0);
}

export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function tls(port: number): Socket {
  return connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
}

async function hello(port: number): Promise<void> {
  const socket = tls(port);
  await new Promise((resolve) => socket.once('secureConnect', resolve).once('error', resolve).once('close', resolve));
  socket.destroy();
}

async function collect(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await new Promise<void>((resolve) => {
    let timer = setTimeout(resolve, QUIET_MS);
    socket.on('data', (piece: Buffer) => {
      pieces.push(piece);
      clearTimeout(timer);
      timer = setTimeout(resolve, QUIET_MS);
    });
    socket.on('error', () => resolve());
    socket.on('close', () => resolve());
  });
  socket.destroy();
  return Buffer.concat(pieces);
}
