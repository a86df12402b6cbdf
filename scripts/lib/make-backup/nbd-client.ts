// A small NBD client that writes: how the disk is changed through the daemon, so that its bitmap sees it.
// Wire: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, fixed newstyle, simple replies.
import { createConnection, type Socket } from 'node:net';

const OPT_MAGIC = 0x49484156454f5054n; // IHAVEOPT
const OPT_GO = 7;
const REP_ACK = 1;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const COMMAND = { write: 1, disconnect: 2, flush: 3, trim: 4, zero: 6 } as const;

/** One change of a disk; offsets and lengths in bytes, lengths at most 32 MiB. */
export type NbdWrite =
  | { readonly kind: 'write'; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: 'zero' | 'trim'; readonly offset: number; readonly length: number };

/** Applies the writes in order to the export `name` behind a Unix socket, flushes, and returns when all are answered. */
export async function writeThroughNbd(
  socketPath: string,
  name: string,
  writes: Iterable<NbdWrite> | AsyncIterable<NbdWrite>,
): Promise<void> {
  const socket = createConnection(socketPath);
  try {
    const read = reader(socket);
    await go(socket, read, name);
    await transmit(socket, read, writes);
    socket.end(request(COMMAND.disconnect, 0, 0));
  } finally {
    socket.destroy();
  }
}

type Read = (length: number) => Promise<Buffer>;

async function go(socket: Socket, read: Read, name: string): Promise<void> {
  await read(18);
  const option = Buffer.alloc(26 + name.length);
  option.writeUInt32BE(1, 0); // fixed newstyle
  option.writeBigUInt64BE(OPT_MAGIC, 4);
  option.writeUInt32BE(OPT_GO, 12);
  option.writeUInt32BE(6 + name.length, 16);
  option.writeUInt32BE(name.length, 20);
  option.write(name, 24, 'latin1');
  socket.write(option);
  for (;;) {
    const reply = await read(20);
    const type = reply.readUInt32BE(12);
    const data = await read(reply.readUInt32BE(16));
    if (type === REP_ACK) return;
    if (type >= 0x80000000) throw new Error(`NBD export ${name}: ${data.toString()}`);
  }
}

/** Requests go out while replies come in; the server holds us back by not reading when it has enough. */
async function transmit(
  socket: Socket,
  read: Read,
  writes: Iterable<NbdWrite> | AsyncIterable<NbdWrite>,
): Promise<void> {
  let sent = 0;
  let answered = 0;
  const answer = async (): Promise<void> => {
    const reply = await read(16);
    const error = reply.readUInt32BE(4);
    if (reply.readUInt32BE(0) !== REPLY_MAGIC || error !== 0) throw new Error(`NBD write failed: error ${error}`);
    answered += 1;
  };
  for await (const write of writes) {
    if (write.kind === 'write') {
      socket.write(request(COMMAND.write, write.offset, write.data.length));
      socket.write(write.data);
    } else {
      socket.write(request(COMMAND[write.kind], write.offset, write.length));
    }
    sent += 1;
    if (sent - answered >= 16) await answer();
  }
  while (answered < sent) await answer();
  socket.write(request(COMMAND.flush, 0, 0));
  await answer();
}

function request(command: number, offset: number, length: number): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(command, 6);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return header;
}

/** Reads exact lengths off a socket; rejects when it fails or ends before. */
function reader(socket: Socket): Read {
  let failure: Error | undefined;
  let wake = (): void => {};
  const happened = (error?: Error): void => {
    failure ??= error;
    wake();
  };
  socket.on('error', happened);
  socket.on('readable', () => happened());
  socket.on('close', () => happened(new Error('the NBD server closed the connection')));
  return async (length) => {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes: unknown = socket.read(length);
      if (Buffer.isBuffer(bytes) && bytes.length === length) return bytes;
      if (failure !== undefined) throw failure;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}
