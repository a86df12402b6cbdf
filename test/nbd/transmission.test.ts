// The transmission phase, request by request, said byte by byte; and the bounds on what is under way.
import { test } from 'tap';
import type { Export, ExportData } from '../../src/nbd/export.ts';
import { memoryExport, patternBytes } from '../helpers/memory-export.ts';
import { RawClient, request, type Served, serving } from '../helpers/nbd.ts';

const SIZE = 1_000_003;
const bytes = patternBytes(SIZE);
const disk = memoryExport('disk', bytes, { chunkSize: 1000, extents: true });
const MiB = 1024 * 1024;

const EPERM = 1;
const EIO = 5;
const EINVAL = 22;
const [READ, WRITE, DISC, FLUSH, TRIM, STATUS] = [0, 1, 2, 3, 4, 7];

/** An export whose reads end when the test says so. */
class GatedExport implements Export {
  readonly name = 'gated';
  readonly size = 2 ** 40;
  readonly reads: { offset: number; length: number; answer: () => void; fail: (error: Error) => void }[] = [];
  released = 0;
  aborted = 0;
  #awaited: (() => void) | undefined;

  read(offset: number, length: number, signal: AbortSignal): Promise<ExportData> {
    const { promise, resolve, reject } = Promise.withResolvers<ExportData>();
    const answer = (): void =>
      resolve({ chunks: [new Uint8Array(length).fill(offset % 251)], release: () => (this.released += 1) });
    this.reads.push({ offset, length, answer, fail: reject });
    signal.addEventListener('abort', () => {
      this.aborted += 1;
      reject(signal.reason);
    });
    this.#awaited?.();
    return promise;
  }

  /** Resolves when `count` reads have begun in all. */
  async begun(count: number): Promise<void> {
    while (this.reads.length < count) {
      await new Promise<void>((resolve) => {
        this.#awaited = resolve;
      });
    }
  }
}

async function inPhase(
  served: Served,
  name: string,
  structured: boolean,
  talk: (client: RawClient) => Promise<void>,
): Promise<void> {
  const client = await RawClient.entered(served.socketPath, name, structured);
  await talk(client);
  client.end();
}

test('reads are answered, simply or structured', async (t) => {
  await serving([disk], async (served) => {
    for (const [offset, length] of [
      [0, 1],
      [0, SIZE],
      [SIZE - 1, 1],
      [12_345, 54_321],
    ] as const) {
      const expected = Buffer.from(bytes.subarray(offset, offset + length));
      await inPhase(served, 'disk', false, async (client) => {
        client.request(READ, 0xfffffffe, offset, length);
        t.same(await client.simple(), { error: 0, cookie: 0xfffffffen });
        t.ok((await client.take(length)).equals(expected), `simple [${offset}, +${length})`);
      });
      await inPhase(served, 'disk', true, async (client) => {
        for (const flags of [0, 4]) {
          client.request(READ, 7, offset, length, flags);
          const chunk = await client.chunk();
          t.same([chunk.flags, chunk.type, chunk.cookie], [1, 1, 7n]);
          t.equal(chunk.data.readBigUInt64BE(), BigInt(offset));
          t.ok(chunk.data.subarray(8).equals(expected), `structured [${offset}, +${length}), flags ${flags}`);
        }
      });
    }
  });
});

test('refused requests leave the connection in step', async (t) => {
  const cases: [name: string, type: number, offset: number, length: number, flags: number, error: number][] = [
    ['write', WRITE, 0, 4096, 0, EPERM],
    ['write of nothing', WRITE, 0, 0, 0, EPERM],
    ['write beyond the end, FUA', WRITE, SIZE, 70_000, 1, EPERM],
    ['trim', TRIM, 0, 4096, 0, EPERM],
    ['flush', FLUSH, 0, 0, 0, EINVAL],
    ['unknown', 99, 0, 0, 0, EINVAL],
    ['beyond the end', READ, SIZE, 1, 0, EINVAL],
    ['4 GiB', READ, 0, 0xffffffff, 0, EINVAL],
    ['status', STATUS, 0, 1, 0, EINVAL],
  ];
  await serving([disk], async (served) => {
    await inPhase(served, 'disk', false, async (client) => {
      for (const [name, type, offset, length, flags, error] of cases) {
        client.request(type, 5, offset, length, flags);
        if (type === WRITE) client.say(Buffer.alloc(length, 0x25));
        t.same(await client.simple(), { error, cookie: 5n }, name);
      }
      client.request(READ, 6, 0, 10);
      t.equal((await client.simple()).error, 0);
      t.same(await client.take(10), Buffer.from(bytes.subarray(0, 10)));
    });
    await inPhase(served, 'disk', true, async (client) => {
      for (const [name, type, offset, length, flags, error] of cases) {
        client.request(type, 5, offset, length, flags);
        if (type === WRITE) client.say(Buffer.alloc(length, 0x25));
        const chunk = await client.chunk();
        t.same([chunk.flags, chunk.type, chunk.data.readUInt32BE()], [1, 0x8001, error], name);
        t.equal(chunk.data.readUInt16BE(4), chunk.data.length - 6, `${name}: with a reason`);
      }
    });
  });
});

test('block status, whole and one', async (t) => {
  await serving([disk], async (served) => {
    const client = await RawClient.greeted(served.socketPath);
    client.option(8);
    await client.reply();
    client.option(10, Buffer.from('\0\0\0\x04disk\0\0\0\x01\0\0\0\x0fbase:allocation', 'latin1'));
    await client.reply();
    await client.reply();
    client.option(1, Buffer.from('disk'));
    await client.take(10);
    client.request(STATUS, 1, 8192, 32_768);
    const whole = await client.chunk();
    t.equal(whole.type, 5);
    t.same(
      [0, 4, 8, 12, 16, 20, 24].map((at) => whole.data.readUInt32BE(at)),
      [1, 8192, 0, 16_384, 3, 8192, 0],
    );
    client.request(STATUS, 1, 8192, 32_768, 8);
    const one = await client.chunk();
    t.same([one.data.length, one.data.readUInt32BE(4), one.data.readUInt32BE(8)], [12, 8192, 0]);
    client.end();
  });
});

test('replies come in the order in which the reads end', async (t) => {
  const gated = new GatedExport();
  await serving([gated], async (served) => {
    await inPhase(served, 'gated', false, async (client) => {
      for (let cookie = 0; cookie < 3; cookie += 1) client.request(READ, cookie, cookie, 4);
      await gated.begun(3);
      for (const index of [2, 0, 1]) {
        gated.reads[index]?.answer();
        t.equal((await client.simple()).cookie, BigInt(index));
        t.same(await client.take(4), Buffer.alloc(4, index));
      }
    });
  });
  t.equal(gated.released, 3);
});

test('requests may come in any pieces', async (t) => {
  await serving([disk], async (served) => {
    await inPhase(served, 'disk', false, async (client) => {
      const many = Buffer.concat(Array.from({ length: 1000 }, (_, index) => request(READ, index, index, 1)));
      for (let at = 0; at < 280; at += 1) {
        client.say(many.subarray(at, at + 1));
        await new Promise(setImmediate);
      }
      client.say(many.subarray(280));
      const seen = new Set<bigint>();
      for (let index = 0; index < 1000; index += 1) {
        const { error, cookie } = await client.simple();
        const data = await client.take(1);
        if (error !== 0 || data[0] !== bytes[Number(cookie)]) t.fail(`reply ${cookie} is wrong`);
        seen.add(cookie);
      }
      t.equal(seen.size, 1000);
    });
  });
});

test('a failed read is EIO for its client, the error for the owner, and no one else is harmed', async (t) => {
  const gated = new GatedExport();
  const told: [string, unknown][] = [];
  const failure = new Error('the source is gone');
  await serving(
    [gated, disk],
    async (served) => {
      await inPhase(served, 'gated', true, async (client) => {
        client.request(READ, 1, 0, 4);
        client.request(READ, 2, 0, 4);
        await gated.begun(2);
        gated.reads[0]?.fail(failure);
        const chunk = await client.chunk();
        t.same([chunk.type, chunk.data.readUInt32BE()], [0x8001, EIO]);
        t.equal(chunk.data.subarray(6).toString(), 'the source is gone');
        gated.reads[1]?.answer();
        t.equal((await client.chunk()).type, 1, 'the other read is answered');
      });
      await inPhase(served, 'gated', false, async (client) => {
        client.request(READ, 1, 0, 4);
        await gated.begun(3);
        gated.reads[2]?.fail(failure);
        t.equal((await client.simple()).error, EIO);
      });
    },
    { onError: (name, error) => told.push([name, error]) },
  );
  t.strictSame(told, [
    ['gated', failure],
    ['gated', failure],
  ]);
});

test('an export that gives another length than asked is EIO, and is told', async (t) => {
  let released = 0;
  const told: unknown[] = [];
  const liar: Export = {
    name: 'liar',
    size: 100,
    read: async (_, length) => ({ chunks: [new Uint8Array(length + 1)], release: () => (released += 1) }),
    extents: async () => [],
  };
  await serving(
    [liar],
    async (served) => {
      await inPhase(served, 'liar', false, async (client) => {
        client.request(READ, 1, 0, 4);
        t.equal((await client.simple()).error, EIO);
      });
    },
    { onError: (_, error) => told.push(error) },
  );
  t.equal(released, 1);
  t.match(told, [{ message: 'expected 4 bytes from the export, got 5' }]);
});

test('DISC waits for what is under way, then closes', async (t) => {
  const gated = new GatedExport();
  await serving([gated], async (served) => {
    const client = await RawClient.entered(served.socketPath, 'gated');
    client.request(READ, 1, 5, 4);
    client.request(DISC, 2, 0, 0);
    client.request(READ, 3, 6, 4);
    await gated.begun(1);
    gated.reads[0]?.answer();
    const rest = await client.rest();
    t.equal(rest.length, 20, 'one reply');
    t.same(rest.subarray(16), Buffer.alloc(4, 5));
  });
  t.equal(gated.reads.length, 1, 'nothing that came after DISC was begun');
});

test('a client that hangs up has its reads aborted, with and without DISC', async (t) => {
  for (const last of [READ, DISC]) {
    const gated = new GatedExport();
    const told: unknown[] = [];
    await serving(
      [gated],
      async (served) => {
        const client = await RawClient.entered(served.socketPath, 'gated');
        client.request(READ, 1, 0, 4);
        client.request(last, 2, 0, 4);
        await gated.begun(last === READ ? 2 : 1);
        client.end();
        while (gated.aborted < gated.reads.length) await new Promise(setImmediate);
      },
      { onError: (_, error) => told.push(error) },
    );
    t.same(told, [], 'and nobody is told of an error');
  }
});

test('bytes under way are bounded per connection: further requests are not read', async (t) => {
  const gated = new GatedExport();
  await serving(
    [gated],
    async (served) => {
      await inPhase(served, 'gated', false, async (client) => {
        for (let cookie = 0; cookie < 10; cookie += 1) client.request(READ, cookie, cookie, MiB);
        await gated.begun(4);
        for (let index = 0; index < 10; index += 1) {
          t.equal(gated.reads.length, Math.min(10, 4 + index), `${index} were answered`);
          gated.reads[index]?.answer();
          await client.take(16 + MiB);
          await gated.begun(Math.min(10, 5 + index));
        }
      });
    },
    { limits: { connectionBytes: 4 * MiB } },
  );
  t.equal(gated.released, 10);
});

test('small requests are bounded in number', async (t) => {
  const gated = new GatedExport();
  await serving(
    [gated],
    async (served) => {
      await inPhase(served, 'gated', false, async (client) => {
        for (let cookie = 0; cookie < 100; cookie += 1) client.request(READ, cookie, cookie, 1);
        await gated.begun(16);
        await inPhase(served, 'gated', false, async (other) => {
          other.request(READ, 1, 1, 1);
          await gated.begun(17);
        });
        t.equal(gated.reads.filter(({ length }) => length === 1).length, 17);
      });
    },
    { limits: { connectionBytes: MiB } },
  );
});

test('bytes under way are bounded for all connections together', async (t) => {
  const gated = new GatedExport();
  await serving(
    [gated],
    async (served) => {
      const first = await RawClient.entered(served.socketPath, 'gated');
      first.request(READ, 1, 1, MiB);
      first.request(READ, 2, 2, MiB);
      await gated.begun(2);
      const second = await RawClient.entered(served.socketPath, 'gated');
      second.request(READ, 3, 3, MiB);
      const third = await RawClient.entered(served.socketPath, 'gated');
      t.equal(gated.reads.length, 2, 'the second client waits');
      gated.reads[0]?.answer();
      await gated.begun(3);
      gated.reads[2]?.answer();
      t.equal((await second.simple()).cookie, 3n);
      third.request(READ, 4, 4, 100 * MiB);
      t.equal((await third.simple()).error, EINVAL, 'a refusal needs hardly any room');
      for (const client of [first, second, third]) client.end();
    },
    { limits: { serverBytes: 2 * MiB } },
  );
});

test('a client that takes no replies is closed when others wait for its room, not before', async (t) => {
  const big = memoryExport('big', new Uint8Array(8 * MiB));
  await serving(
    [big],
    async (served) => {
      const stuck = await RawClient.entered(served.socketPath, 'big');
      stuck.socket.pause();
      for (let cookie = 0; cookie < 4; cookie += 1) stuck.request(READ, cookie, 0, 8 * MiB);
      const lucky = await RawClient.entered(served.socketPath, 'big');
      lucky.request(READ, 1, 0, 8 * MiB);
      t.equal((await lucky.simple()).error, 0, 'served at last');
      await lucky.take(8 * MiB);
      stuck.socket.resume();
      const taken = await stuck.rest();
      t.ok(taken.length < 4 * 8 * MiB, 'the other one was closed');
      lucky.end();
    },
    { limits: { serverBytes: 8 * MiB, stallMs: 50 } },
  );
});

test('shared memory and many small chunks are written as they are', async (t) => {
  const shared = new Uint8Array(new SharedArrayBuffer(SIZE));
  shared.set(bytes);
  const exports = [memoryExport('shared', shared), memoryExport('small', bytes, { chunkSize: 100 })];
  await serving(exports, async (served) => {
    for (const { name } of exports) {
      await inPhase(served, name, false, async (client) => {
        client.request(READ, 1, 0, SIZE);
        await client.simple();
        t.ok((await client.take(SIZE)).equals(bytes), name);
      });
    }
  });
});

test('a wrong magic or an absurd payload closes the connection', async (t) => {
  await serving([disk], async (served) => {
    const wrong = await RawClient.entered(served.socketPath, 'disk');
    wrong.say(Buffer.alloc(28));
    t.equal((await wrong.rest()).length, 0);
    const absurd = await RawClient.entered(served.socketPath, 'disk');
    absurd.request(WRITE, 1, 0, 0xffffffff);
    t.equal((await absurd.rest()).length, 0);
    const half = await RawClient.entered(served.socketPath, 'disk');
    half.say(request(READ, 1, 0, 1).subarray(0, 27));
    half.socket.end();
    t.equal((await half.rest()).length, 0);
  });
});
