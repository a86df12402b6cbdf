// The transmission phase: requests in, replies out, in whatever order the reads end. Read-only.
// Facts: doc/proto.md, "Transmission" and "Request types".
import { messageOf } from '../errors.ts';
import { MiB } from '../units.ts';
import { ByteBudget } from './budget.ts';
import { type Channel, PeerError } from './channel.ts';
import type { ExportData } from './export.ts';
import { ALLOCATION_ID, type Session } from './handshake.ts';
import { type Refusal, type ValidRequest, validateRequest } from './refusal.ts';
import { statesOf } from './states.ts';
import { COMMAND, COMMAND_FLAG, NBD_ERROR } from './wire.ts';
import * as wire from './wire-transmission.ts';

export interface TransmissionOptions {
  /** The largest READ that is served, in bytes. */
  readonly maxRequest: number;
  /** Bytes under way for this client. */
  readonly connectionBytes: number;
  /** Bytes under way for all clients. A request holds its bytes, in both, until its reply was taken. */
  readonly serverBudget: ByteBudget;
  /** An export failed or broke its contract; the client was told EIO. Must not throw. */
  readonly onError: (exportName: string, error: unknown) => void;
}

/** A request counts as at least so many bytes, so that a bound on bytes is one on requests too. */
const MIN_CHARGE = 64 * 1024;
/** The payload of a WRITE has to be read over to stay in step; a longer one means harm (32 MiB is the spec's number). */
const MAX_PAYLOAD = 32 * MiB;

/**
 * Serves one client until it leaves, and ends the channel. When this returns, every reply was written (after DISC) or the
 * client is gone, and no read is under way any more. Throws PeerError when the client broke the protocol.
 */
export async function transmit(channel: Channel, session: Session, options: TransmissionOptions): Promise<void> {
  const transmission = new Transmission(channel, session, options);
  try {
    await transmission.takeRequests();
    // After DISC "the server MUST handle all outstanding requests"; unless the client hangs up meanwhile.
    await Promise.race([transmission.idle(), channel.skipAll()]);
  } finally {
    channel.end('the transmission is over');
    await transmission.idle();
  }
}

class Transmission {
  readonly #channel: Channel;
  readonly #session: Session;
  readonly #options: TransmissionOptions;
  readonly #budget: ByteBudget;
  #underWay = 0;
  #onIdle: (() => void)[] = [];

  constructor(channel: Channel, session: Session, options: TransmissionOptions) {
    this.#channel = channel;
    this.#session = session;
    this.#options = options;
    this.#budget = new ByteBudget(options.connectionBytes);
  }

  /** Begins every request that comes; returns at DISC or when the client is gone. */
  async takeRequests(): Promise<void> {
    for (;;) {
      const bytes = await this.#channel.read(wire.REQUEST_BYTES);
      if (bytes === undefined) return;
      const request = wire.decodeRequest(bytes);
      if (request === undefined) throw new PeerError('wrong request magic');
      if (request.type === COMMAND.DISC) return;
      if (request.type === COMMAND.WRITE) await this.#skipPayload(request.length);
      const judged = validateRequest(request, this.#session, this.#options.maxRequest);
      const charge =
        request.type === COMMAND.READ && 'offset' in judged ? Math.max(request.length, MIN_CHARGE) : MIN_CHARGE;
      // Until there is room no further request is read. What the first budget gave is not given back when the second one
      // rejects: the connection is over then, and its budget with it.
      await this.#budget.take(charge, this.#channel.ended);
      await this.#options.serverBudget.take(charge, this.#channel.ended);
      this.#underWay += 1;
      const done = (): void => this.#finish(charge);
      if (this.#channel.ended.aborted) return done(); // while it waited
      if ('error' in judged) this.#refuse(request.cookie, judged, done);
      else void this.#answer(judged, done);
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async #skipPayload(length: number): Promise<void> {
    if (length > MAX_PAYLOAD) throw new PeerError(`a payload of ${length} bytes`);
    await this.#channel.skip(length);
  }

  #finish(charge: number): void {
    this.#budget.give(charge);
    this.#options.serverBudget.give(charge);
    this.#underWay -= 1;
    if (this.#underWay === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Never rejects: what fails is answered with EIO, and told. */
  async #answer(request: ValidRequest, done: () => void): Promise<void> {
    try {
      if (request.type === COMMAND.READ) await this.#read(request, done);
      else await this.#reportStatus(request, done);
    } catch (error) {
      // The client is gone: nobody waits for the bytes, and the abort is what failed the read.
      if (!this.#channel.ended.aborted) this.#options.onError(this.#session.export.name, error);
      this.#refuse(request.cookie, { error: NBD_ERROR.EIO, message: messageOf(error) }, done);
    }
  }

  async #read({ cookie, offset, length }: ValidRequest, done: () => void): Promise<void> {
    const data = await this.#session.export.read(offset, length, this.#channel.ended);
    checkLength(data, length);
    const header = this.#session.structured
      ? wire.encodeDataChunkHeader(cookie, offset, length)
      : wire.encodeSimpleReply(cookie, 0);
    this.#channel.write([header, ...data.chunks], () => {
      data.release?.();
      done();
    });
  }

  async #reportStatus({ cookie, flags, offset, length }: ValidRequest, done: () => void): Promise<void> {
    const extents = (await this.#session.export.extents?.(offset, length, this.#channel.ended)) ?? [];
    const states = statesOf(extents, length);
    const reported = (flags & COMMAND_FLAG.REQ_ONE) === 0 ? states : states.slice(0, 1);
    this.#channel.write([wire.encodeBlockStatusChunk(cookie, ALLOCATION_ID, reported)], done);
  }

  #refuse(cookie: wire.Cookie, { error, message }: Refusal, done: () => void): void {
    const reply = this.#session.structured
      ? wire.encodeErrorChunk(cookie, error, message)
      : wire.encodeSimpleReply(cookie, error);
    this.#channel.write([reply], done);
  }
}

/** A reply of another length would put the client out of step: refused instead, and its memory released. */
function checkLength(data: ExportData, length: number): void {
  const given = data.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (given === length) return;
  data.release?.();
  throw new TypeError(`expected ${length} bytes from the export, got ${given}`);
}
