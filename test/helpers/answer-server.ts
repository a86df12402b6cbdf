// A server that gives one recorded answer to whatever it is asked.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { RecordedAnswer } from './answers.ts';
import type { Certificates } from './certificates.ts';
import type { Owner } from './tmp.ts';

/** Returns the endpoint to configure. Answers recorded over https need certificates. */
export async function startAnswerServer(t: Owner, answer: RecordedAnswer, certificates: Certificates): Promise<string> {
  const serve = (socket: Socket): void => {
    let asked = '';
    socket.on('error', () => {});
    socket.on('data', (piece) => {
      asked += piece.toString('latin1');
      if (answer.over !== 'hello' && !asked.includes('\r\n\r\n')) return;
      const head = asked.startsWith('HEAD ');
      asked = '';
      give(socket, answer, head);
    });
  };
  const { key, cert } = certificates;
  const server: Server = answer.over === 'https' ? createTlsServer({ key, cert }, serve) : createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `${answer.over === 'http' ? 'http' : 'https'}://127.0.0.1:${address.port}`;
}

/** An answer to HEAD has no body. */
function give(socket: Socket, { over, bytes }: RecordedAnswer, head: boolean): void {
  // Dated now: an answer that is old would say that a clock is off.
  const text = bytes.toString('latin1').replace(/\r\nDate: [^\r]*/i, `\r\nDate: ${new Date().toUTCString()}`);
  const end = text.indexOf('\r\n\r\n');
  const isHttp = over !== 'hello' && text.startsWith('HTTP/') && end !== -1;
  const sent = Buffer.from(isHttp && head ? text.slice(0, end + 4) : text, 'latin1');
  const fields = text.slice(0, end).toLowerCase();
  const stays = isHttp && /\ncontent-length:/.test(fields) && !/\nconnection: close/.test(fields);
  if (stays) socket.write(sent);
  else socket.end(sent);
}
