// A plain HTTP proxy on loopback: absolute-form requests and CONNECT.
import { createServer, type IncomingMessage, request as requestUpstream } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Test } from 'tap';

export interface Proxy {
  readonly url: string;
  /** What it was asked for: `GET http://host/path`, `CONNECT host:port`. */
  readonly asked: string[];
  /** The Proxy-Authorization headers that came. */
  readonly logins: string[];
}

/** Starts a proxy, which lets nobody through if `closed`; it ends with `t`. */
export async function startProxy(t: Test, { closed = false } = {}): Promise<Proxy> {
  const asked: string[] = [];
  const logins: string[] = [];
  const sockets = new Set<Socket>();
  const note = ({ method, url, headers }: IncomingMessage): void => {
    asked.push(`${method} ${url}`);
    const login = headers['proxy-authorization'];
    if (login !== undefined) logins.push(login);
  };
  const server = createServer((incoming, outgoing) => {
    note(incoming);
    const { method, headers, url = '' } = incoming;
    const forward = requestUpstream(url, { method, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    note(incoming);
    if (closed) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const { hostname, port } = new URL(`http://${incoming.url ?? ''}`);
    const upstream = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked, logins };
}
