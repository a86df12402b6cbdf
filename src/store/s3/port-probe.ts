// Asks a port what it speaks, when a connection to it failed in a way that several mistakes look like. No keys are sent.
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';

export type Spoken = 'tls' | 'http' | 'neither';

const PROBE_MS = 3_000;

/** What answers on the port now; `neither` also when nothing does. */
export async function probePort(url: URL, signal: AbortSignal): Promise<Spoken> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  if (await speaksTls({ host, port }, signal)) return 'tls';
  return (await speaksHttp({ host, port }, signal)) ? 'http' : 'neither';
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** A handshake that ends, or an alert: only TLS sends these. */
async function speaksTls({ host, port }: Address, signal: AbortSignal): Promise<boolean> {
  // Not trusted, and not used: no byte is sent after the handshake.
  const socket = connectTls({ host, port, rejectUnauthorized: false });
  return await answerOf(socket, signal, (settle) => {
    socket.once('secureConnect', () => settle(true));
    socket.once('error', (error) =>
      settle(/\balert\b/i.test(`${error.message} ${'code' in error ? error.code : ''}`.replaceAll('_', ' '))),
    );
  });
}

async function speaksHttp({ host, port }: Address, signal: AbortSignal): Promise<boolean> {
  const socket = connect({ host, port });
  return await answerOf(socket, signal, (settle) => {
    socket.once('connect', () => socket.write(`HEAD / HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`));
    socket.once('data', (piece: Buffer) => settle(/^(HTTP\/|\s*<(!doctype )?html)/i.test(piece.toString('latin1'))));
    socket.once('error', () => settle(false));
  });
}

async function answerOf(
  socket: ReturnType<typeof connect>,
  signal: AbortSignal,
  listen: (settle: (answer: boolean) => void) => void,
): Promise<boolean> {
  const ended = new AbortController();
  try {
    return await new Promise<boolean>((resolve) => {
      listen(resolve);
      socket.once('close', () => resolve(false));
      const over = AbortSignal.any([signal, ended.signal, AbortSignal.timeout(PROBE_MS)]);
      over.addEventListener('abort', () => resolve(false), { once: true });
    });
  } finally {
    ended.abort();
    socket.on('error', () => {});
    socket.destroy();
  }
}
