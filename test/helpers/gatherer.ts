// A TCP relay on loopback that hands on what its upstream says in one piece, once that falls silent or ends: the last bytes
// of an answer and the end of its connection then reach the program in one read, as a packet may bring them.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** Upstream counts as silent after so long. */
const QUIET_MS = 10;

/** Starts a relay before `endpoint` and gives its own, of the same protocol; it ends with `t`. */
export async function startGatherer(t: Test, endpoint: string): Promise<string> {
  const { protocol, hostname, port } = new URL(endpoint);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
    client.pipe(upstream);
    const held: Buffer[] = [];
    const flush = (): void => {
      if (held.length > 0) client.write(Buffer.concat(held.splice(0)));
    };
    const quiet = setTimeout(flush, QUIET_MS);
    upstream.on('data', (bytes: Buffer) => {
      held.push(bytes);
      quiet.refresh();
    });
    upstream.on('end', () => {
      clearTimeout(quiet);
      flush();
      client.end();
      upstream.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `${protocol}//127.0.0.1:${(server.address() as AddressInfo).port}`;
}
