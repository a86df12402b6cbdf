// The handshake: from the greeting through the client's options to the export that it chose.
// Facts: doc/proto.md, "Fixed newstyle negotiation" and "Option types". TLS is not offered ("NOTLS mode").
import { type Channel, PeerError } from './channel.ts';
import type { Export } from './export.ts';
import { HANDSHAKE_FLAG, INFO, MAX_STRING, OPTION, REPLY, TRANSMISSION_FLAG } from './wire.ts';
import * as wire from './wire-handshake.ts';

/** Exports by name, looked up whenever a client asks. A `Map` is one. */
export interface Exports {
  get(name: string): Export | undefined;
  values(): Iterable<Export>;
}

/** What was agreed on. */
export interface Session {
  readonly export: Export;
  /** Replies are structured (and errors carry a message). */
  readonly structured: boolean;
  /** BLOCK_STATUS may be asked, with this id for base:allocation. */
  readonly allocation: boolean;
}

export interface HandshakeOptions {
  readonly exports: Exports;
  /** The largest READ that is served, in bytes. */
  readonly maxRequest: number;
}

export const ALLOCATION_ID = 1;
const ALLOCATION = 'base:allocation';

/** Room for a name and some hundred queries; longer data are read over and refused. */
const MAX_OPTION_DATA = 64 * 1024;
/** Beyond this a client means harm: "MAY initiate a hard disconnect". */
const MAX_SKIPPED = 32 * 1024 * 1024;
const DEFAULT_PREFERRED = 4096;

const NO_SUCH_EXPORT = 'no export has this name';

/** What the client has set so far. */
interface Negotiation {
  readonly zeroes: boolean;
  readonly maxRequest: number;
  readonly exports: Exports;
  structured: boolean;
  /** The export that base:allocation was selected for. */
  allocationOf: string | undefined;
}

/**
 * Talks to one client until it has chosen an export. Undefined when it left in good order. Throws PeerError when the
 * protocol demands a hard disconnect: unknown client flags, a wrong magic, EXPORT_NAME of an export that is not there.
 */
export async function negotiate(channel: Channel, options: HandshakeOptions): Promise<Session | undefined> {
  const offered = HANDSHAKE_FLAG.FIXED_NEWSTYLE | HANDSHAKE_FLAG.NO_ZEROES;
  await channel.send([wire.encodeGreeting(offered)]);
  const answer = await channel.read(wire.CLIENT_FLAGS_BYTES);
  if (answer === undefined) return undefined;
  const flags = answer.readUInt32BE(0);
  if ((flags & ~offered) !== 0) throw new PeerError(`unknown client flags 0x${flags.toString(16)}`);
  const state: Negotiation = {
    ...options,
    zeroes: (flags & HANDSHAKE_FLAG.NO_ZEROES) === 0,
    structured: false,
    allocationOf: undefined,
  };
  for (;;) {
    const header = await channel.read(wire.OPTION_HEADER_BYTES);
    if (header === undefined) return undefined;
    const option = wire.decodeOptionHeader(header);
    if (option === undefined) throw new PeerError('wrong option magic');
    const outcome = await answerOption(channel, state, option.option, option.length);
    if (outcome === 'left') return undefined;
    if (outcome !== 'continue') return outcome;
  }
}

type Outcome = Session | 'left' | 'continue';

async function answerOption(channel: Channel, state: Negotiation, option: number, length: number): Promise<Outcome> {
  if (option === OPTION.EXPORT_NAME) return await handleExportName(channel, state, length);
  if (length > MAX_SKIPPED) throw new PeerError(`${length} bytes of data for option ${option}`);
  const reply = new OptionReply(channel, option);
  if (length > MAX_OPTION_DATA) {
    await channel.skip(length);
    if (option === OPTION.SET_META_CONTEXT) state.allocationOf = undefined;
    return await reply.refuse(REPLY.ERR_TOO_BIG, `at most ${MAX_OPTION_DATA} bytes of data are accepted`);
  }
  const data = await channel.readRest(length);
  switch (option) {
    case OPTION.ABORT:
      await reply.acknowledge();
      return 'left';
    case OPTION.LIST:
      return await listExports(reply, state, data);
    case OPTION.INFO:
    case OPTION.GO:
      return await describeExport(reply, state, data, option);
    case OPTION.STRUCTURED_REPLY:
      if (data.length > 0) return await reply.refuse(REPLY.ERR_INVALID, 'this option has no data');
      state.structured = true;
      return await reply.acknowledge();
    case OPTION.LIST_META_CONTEXT:
    case OPTION.SET_META_CONTEXT:
      return await metaContexts(reply, state, data, option);
    default: // STARTTLS too
      return await reply.refuse(REPLY.ERR_UNSUP, `option ${option} is not supported`);
  }
}

/** The old way in, which cannot be refused but by closing. */
async function handleExportName(channel: Channel, state: Negotiation, length: number): Promise<Session> {
  if (length > MAX_STRING) throw new PeerError(`an export name of ${length} bytes`);
  const name = wire.decodeString(await channel.readRest(length));
  const found = name === undefined ? undefined : state.exports.get(name);
  if (found === undefined) throw new PeerError('no such export');
  await channel.send([wire.encodeExportNameReply(found.size, transmissionFlags(state), state.zeroes)]);
  return sessionOf(state, found);
}

async function listExports(reply: OptionReply, state: Negotiation, data: Buffer): Promise<Outcome> {
  if (data.length > 0) return await reply.refuse(REPLY.ERR_INVALID, 'this option has no data');
  for (const { name, description } of state.exports.values()) {
    reply.add(REPLY.SERVER, wire.encodeListEntry(name, description ?? ''));
  }
  return await reply.acknowledge();
}

/** INFO and GO: the same answer, but GO enters the transmission phase. */
async function describeExport(reply: OptionReply, state: Negotiation, data: Buffer, option: number): Promise<Outcome> {
  const choice = wire.decodeExportChoice(data);
  if (choice === undefined) return await reply.refuse(REPLY.ERR_INVALID, 'malformed choice of an export');
  const found = state.exports.get(choice.name);
  if (found === undefined) return await reply.refuse(REPLY.ERR_UNKNOWN, NO_SUCH_EXPORT);
  reply.add(REPLY.INFO, wire.encodeExportInfo(found.size, transmissionFlags(state)));
  if (choice.requests.includes(INFO.NAME)) reply.add(REPLY.INFO, wire.encodeTextInfo(INFO.NAME, found.name));
  if (choice.requests.includes(INFO.DESCRIPTION) && found.description !== undefined) {
    reply.add(REPLY.INFO, wire.encodeTextInfo(INFO.DESCRIPTION, found.description));
  }
  if (choice.requests.includes(INFO.BLOCK_SIZE)) {
    const preferred = found.preferredBlockSize ?? DEFAULT_PREFERRED;
    reply.add(REPLY.INFO, wire.encodeBlockSizeInfo(1, preferred, state.maxRequest));
  }
  await reply.acknowledge();
  return option === OPTION.GO ? sessionOf(state, found) : 'continue';
}

async function metaContexts(reply: OptionReply, state: Negotiation, data: Buffer, option: number): Promise<Outcome> {
  const select = option === OPTION.SET_META_CONTEXT;
  if (select) state.allocationOf = undefined; // also when it is refused
  if (!state.structured) return await reply.refuse(REPLY.ERR_INVALID, 'needs structured replies');
  const asked = wire.decodeMetaContextQuery(data);
  if (asked === undefined) return await reply.refuse(REPLY.ERR_INVALID, 'malformed query of metadata contexts');
  const found = state.exports.get(asked.name);
  if (found === undefined) return await reply.refuse(REPLY.ERR_UNKNOWN, NO_SUCH_EXPORT);
  const wanted = asked.queries.includes(ALLOCATION) || (!select && listsAllocation(asked.queries));
  if (wanted && found.extents !== undefined) {
    if (select) state.allocationOf = found.name;
    reply.add(REPLY.META_CONTEXT, wire.encodeMetaContext(select ? ALLOCATION_ID : 0, ALLOCATION));
  }
  return await reply.acknowledge();
}

/** In a list no query means all, and a bare namespace all of it; a selection takes neither. */
function listsAllocation(queries: readonly string[]): boolean {
  return queries.length === 0 || queries.includes('base:');
}

function transmissionFlags(state: Negotiation): number {
  const { HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN, SEND_DF } = TRANSMISSION_FLAG;
  return HAS_FLAGS | READ_ONLY | CAN_MULTI_CONN | (state.structured ? SEND_DF : 0);
}

function sessionOf(state: Negotiation, found: Export): Session {
  return { export: found, structured: state.structured, allocation: state.allocationOf === found.name };
}

/** The replies to one option: collected, then sent with the last one. */
class OptionReply {
  readonly #channel: Channel;
  readonly #option: number;
  readonly #parts: Buffer[] = [];

  constructor(channel: Channel, option: number) {
    this.#channel = channel;
    this.#option = option;
  }

  add(type: number, data: Buffer): void {
    this.#parts.push(wire.encodeOptionReply(this.#option, type, data));
  }

  async acknowledge(): Promise<'continue'> {
    this.#parts.push(wire.encodeOptionReply(this.#option, REPLY.ACK));
    await this.#channel.send(this.#parts);
    return 'continue';
  }

  async refuse(type: number, message: string): Promise<'continue'> {
    await this.#channel.send([wire.encodeOptionReply(this.#option, type, Buffer.from(message))]);
    return 'continue';
  }
}
