// Hostile clients: whatever is said, at whatever stage, and however it ends, the next client is served, nothing is kept.
import fc from 'fast-check';
import { test } from 'tap';
import type { Export } from '../../src/nbd/export.ts';
import { memoryExport, patternBytes } from '../helpers/memory-export.ts';
import { RawClient, request, type Served, serving, text, u16, u32, u64 } from '../helpers/nbd.ts';

const MiB = 1024 * 1024;
const SIZE = 2 * MiB;
const bytes = patternBytes(SIZE);
const LIMITS = { connectionBytes: 4 * MiB, serverBytes: 6 * MiB, connections: 3, stallMs: 20 };

/** Counts what it has given out and not got back. */
class CountingExport implements Export {
  readonly name = 'disk';
  readonly size = SIZE;
  readonly #inner = memoryExport('disk', bytes, { chunkSize: 100_000, extents: true });
  held = 0;
  mostHeld = 0;

  async read(offset: number, length: number, signal: AbortSignal): ReturnType<Export['read']> {
    this.held += length;
    this.mostHeld = Math.max(this.held, this.mostHeld);
    const release = (): void => {
      this.held -= length;
    };
    try {
      await new Promise(setImmediate);
      return { ...(await this.#inner.read(offset, length, signal)), release };
    } catch (error) {
      release();
      throw error;
    }
  }

  extents(...args: Parameters<NonNullable<Export['extents']>>): ReturnType<NonNullable<Export['extents']>> {
    return memoryExport('disk', bytes, { extents: true }).extents?.(...args) ?? Promise.reject(new Error('none'));
  }
}

const STAGES = ['connected', 'greeted', 'structured', 'entered', 'entered structured'] as const;
type Stage = (typeof STAGES)[number];

const smallOrHuge = fc.oneof(
  fc.nat({ max: 40 }),
  fc.nat({ max: 70_000 }),
  fc.constantFrom(0xffffffff, 0x80000000, 32 * MiB, 32 * MiB + 1),
);
const noise = fc.uint8Array({ maxLength: 300, size: 'max' }).map((data) => Buffer.from(data));
const name = fc.oneof(fc.constantFrom('disk', '', 'none'), fc.string({ maxLength: 50 }));

const optionData = fc.oneof(
  noise,
  fc
    .tuple(name, fc.array(fc.nat({ max: 5 }), { maxLength: 5 }))
    .map(([text_, infos]) => Buffer.concat([text(text_), u16(infos.length), ...infos.map(u16)])),
  fc
    .tuple(name, fc.array(fc.constantFrom('base:allocation', 'base:', 'x'), { maxLength: 3 }))
    .map(([text_, queries]) => Buffer.concat([text(text_), u32(queries.length), ...queries.map(text)])),
);

/** An option, mostly of the right length. */
const option = fc
  .tuple(fc.oneof(fc.nat({ max: 12 }), fc.nat()), optionData, fc.option(smallOrHuge, { freq: 3 }))
  .map(([number, data, length]) =>
    Buffer.concat([Buffer.from('IHAVEOPT'), u32(number), u32(length ?? data.length), data]),
  );

const offset = fc.oneof(fc.bigInt({ min: 0n, max: BigInt(SIZE) + 5n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const command = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat({ max: 9 }) }),
    offset,
    fc.oneof(fc.nat({ max: SIZE }), smallOrHuge),
    fc.oneof(fc.constant(0), fc.nat({ max: 0xffff })),
    fc.boolean(),
  )
  .map(([type, at, length, flags, payload]) =>
    Buffer.concat([
      request(type, 1, at, length, flags),
      Buffer.alloc(type === 1 && payload && length < MiB ? length : 0),
    ]),
  );

const attack = fc.record({
  stage: fc.constantFrom(...STAGES),
  messages: fc.array(fc.oneof(option, command, command, noise), { maxLength: 12 }),
  /** Where the last message is cut, as a share of it. */
  cut: fc.double({ min: 0, max: 1, noNaN: true }),
  /** How it is said: at once, or in pieces of so many bytes. */
  piece: fc.option(fc.integer({ min: 1, max: 100 })),
  reads: fc.boolean(),
  ending: fc.constantFrom('reset', 'end'),
});

async function enter({ socketPath }: Served, stage: Stage): Promise<RawClient> {
  if (stage === 'connected') return await RawClient.open(socketPath);
  if (stage === 'greeted') return await RawClient.greeted(socketPath);
  if (stage !== 'structured') return await RawClient.entered(socketPath, 'disk', stage === 'entered structured');
  const client = await RawClient.greeted(socketPath);
  client.option(8);
  await client.reply();
  return client;
}

async function say(client: RawClient, said: Buffer, piece: number | null): Promise<void> {
  const step = piece ?? Math.max(1, said.length);
  // A thousand pieces show what there is to see; the rest goes at once.
  const pieces = Math.min(1000, Math.ceil(said.length / step));
  for (let index = 0; index < pieces; index += 1) {
    client.say(said.subarray(index * step, index === pieces - 1 ? said.length : (index + 1) * step));
    if (index % 10 === 9) await new Promise(setImmediate);
  }
}

/** A client that behaves; retried while the hostile one's place is still being cleared. */
async function isServed(served: Served): Promise<boolean> {
  for (;;) {
    try {
      const client = await RawClient.entered(served.socketPath, 'disk');
      client.request(0, 77, 4000, 100_000);
      const { error, cookie } = await client.simple();
      const data = await client.take(100_000);
      client.request(2, 0, 0, 0);
      await client.rest();
      return error === 0 && cookie === 77n && data.equals(bytes.subarray(4000, 104_000));
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('closed after 0 of 18'))) throw error;
    }
  }
}

test('the next client is served, whatever the one before said', async (t) => {
  const disk = new CountingExport();
  const errors: unknown[] = [];
  await serving(
    [disk],
    async (served) => {
      const run = async ({ stage, messages, cut, piece, reads, ending }: AttackOf<typeof attack>): Promise<void> => {
        const client = await enter(served, stage);
        if (!reads) client.socket.pause();
        const last = messages.at(-1) ?? Buffer.alloc(0);
        const said = Buffer.concat([...messages.slice(0, -1), last.subarray(0, Math.round(last.length * cut))]);
        await say(client, said, piece);
        if (ending === 'reset') client.end();
        else client.socket.end();
        if (!(await isServed(served))) throw new Error('the next client got something else');
        client.end();
      };
      await fc.assert(fc.asyncProperty(attack, run), { numRuns: 400 });
      t.pass('400 hostile clients, of which at most three could have been kept');
    },
    { limits: LIMITS, onError: (_, error) => errors.push(error) },
  );
  t.equal(disk.held, 0, 'every byte that was given out was released');
  t.ok(disk.mostHeld <= LIMITS.serverBytes, `at most ${disk.mostHeld} bytes were under way`);
  t.same(errors, [], 'and the export was never at fault');
});

type AttackOf<A> = A extends fc.Arbitrary<infer T> ? T : never;

test('clients that do not take their replies hold bounded memory, and do not stop the others', async (t) => {
  const disk = new CountingExport();
  await serving(
    [disk],
    async (served) => {
      const stuck: RawClient[] = [];
      for (let index = 0; index < 10; index += 1) {
        const client = await RawClient.entered(served.socketPath, 'disk');
        client.socket.pause();
        for (let cookie = 0; cookie < 100; cookie += 1) client.request(0, cookie, 0, SIZE);
        stuck.push(client);
      }
      t.ok(await isServed(served));
      t.ok(disk.held > 0, 'while the others hold what they may');
      for (const client of stuck) client.end();
    },
    { limits: { ...LIMITS, connections: 100 } },
  );
  t.equal(disk.held, 0);
  t.ok(disk.mostHeld <= LIMITS.serverBytes);
});

test('a client that goes in the middle of a reply is no loss', async (t) => {
  const disk = new CountingExport();
  await serving(
    [disk],
    async (served) => {
      for (let index = 0; index < 50; index += 1) {
        const client = await RawClient.entered(served.socketPath, 'disk', index % 2 === 0);
        for (let cookie = 0; cookie < 8; cookie += 1) client.request(0, cookie, 0, SIZE);
        await client.take(1 + index * 40_000);
        client.end();
      }
      t.ok(await isServed(served));
    },
    { limits: LIMITS },
  );
  t.equal(disk.held, 0);
});

test('32 MiB of option data, and of payload, are read over without losing step', async (t) => {
  const disk = new CountingExport();
  await serving([disk], async (served) => {
    const payload = Buffer.alloc(32 * MiB);
    const client = await RawClient.greeted(served.socketPath);
    client.socket.write(Buffer.concat([Buffer.from('IHAVEOPT'), u32(7), u32(payload.length)]));
    client.socket.write(payload);
    const reply = await client.reply();
    t.equal(reply.type, 0x80000009);
    client.option(1, Buffer.from('disk'));
    await client.take(10);
    client.socket.write(Buffer.concat([u32(0x25609513), u16(0), u16(1), u64(3), u64(0), u32(payload.length)]));
    client.socket.write(payload);
    t.same(await client.simple(), { error: 1, cookie: 3n });
    t.ok(await isServed(served));
    client.end();
  });
});
