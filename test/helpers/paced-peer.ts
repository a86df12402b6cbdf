// A peer that paces connections without a clock: in each round every connection that has an answer under way gets the same number of
// bytes of it, so that a connection's share of the bytes is its share of the time.
import { createServer, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Test } from 'tap';

/** Bytes that a connection gets in one round. */
const QUANTUM = 16 * 1024;

export interface PacedPeer {
  readonly endpoint: string;
  /** Bytes of ranged answers by connection, of the objects whose path ends so; connections without any are left out. */
  bytesByConnection(ending: string): number[];
  /** The most ranged answers that were under way at a time. */
  readonly mostAtATime: number;
}

/** Starts a peer before the server at `upstream`; it ends with `t`. Answers are held in memory. */
export async function startPacedPeer(t: Test, upstream: string): Promise<PacedPeer> {
  const sent: { readonly socket: Socket; readonly path: string; readonly bytes: number }[] = [];
  const answers = new Set<Answer>();
  let ranged = 0;
  let most = 0;
  let scheduled = false;
  const round = (): void => {
    scheduled = false;
    // Those whose bytes are still on their way from the server would be left behind.
    if ([...answers].every((one) => one.body !== undefined)) {
      for (const one of answers) if (one.send(QUANTUM)) answers.delete(one);
    }
    if (answers.size > 0) schedule();
  };
  const schedule = (): void => {
    if (!scheduled) setImmediate(round);
    scheduled = true;
  };
  const server = createServer((incoming, outgoing) => {
    const { method, headers, url = '/' } = incoming;
    const isRanged = headers.range !== undefined;
    const answer = new Answer(outgoing);
    if (isRanged) {
      ranged += 1;
      most = Math.max(most, ranged);
      answers.add(answer);
      outgoing.once('close', () => {
        ranged -= 1;
      });
    }
    const forward = request(`${upstream}${url}`, { method, headers }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      if (!isRanged) {
        response.pipe(outgoing);
        return;
      }
      void buffer(response).then((body) => {
        const path = new URL(url, upstream).pathname;
        sent.push({ socket: incoming.socket, path, bytes: body.length });
        answer.body = body;
        schedule();
      });
    });
    forward.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytesByConnection: (ending) => {
      const shares = new Map<Socket, number>();
      for (const { socket, path, bytes } of sent) {
        if (path.endsWith(ending)) shares.set(socket, (shares.get(socket) ?? 0) + bytes);
      }
      return [...shares.values()];
    },
    get mostAtATime() {
      return most;
    },
  };
}

class Answer {
  body: Buffer | undefined;
  readonly #outgoing: ServerResponse;
  #done = 0;

  constructor(outgoing: ServerResponse) {
    this.#outgoing = outgoing;
  }

  /** Sends the next bytes. True when all were sent. */
  send(bytes: number): boolean {
    const piece = this.body?.subarray(this.#done, this.#done + bytes) ?? Buffer.alloc(0);
    this.#done += piece.length;
    const last = this.#done === this.body?.length;
    if (last) this.#outgoing.end(piece);
    else this.#outgoing.write(piece);
    return last;
  }
}
