// A peer that accepts and never says a word: whoever talks to it hangs, and its end is an event.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { tempFolder } from './tmp.ts';

export interface SilentServer {
  readonly path: string;
  /** The next client. Its `close` event is the end of its process, or at least of its connection. */
  nextClient(): Promise<Socket>;
}

export async function silentServer(t: Test): Promise<SilentServer> {
  const path = join(tempFolder(t), 'silent.sock');
  const server = createServer((socket) => socket.resume().on('error', () => socket.destroy()));
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return {
    path,
    nextClient: async () => {
      const [socket]: Socket[] = await once(server, 'connection');
      if (socket === undefined) throw new TypeError('no socket');
      return socket;
    },
  };
}
