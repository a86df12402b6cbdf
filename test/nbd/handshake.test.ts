// The handshake, option by option, said byte by byte.
import { test } from 'tap';
import type { Export } from '../../src/nbd/export.ts';
import { INFO, OPTION, REPLY } from '../../src/nbd/wire.ts';
import { memoryExport, patternBytes } from '../helpers/memory-export.ts';
import { RawClient, serving, text, u16, u32, u64 } from '../helpers/nbd.ts';

const disk = memoryExport('disk', patternBytes(100_000), { description: 'a disk', extents: true });
const plain = memoryExport('', patternBytes(1000));
const EXPORTS: readonly Export[] = [disk, plain, memoryExport('dïsk/2', new Uint8Array(0))];

/** HAS_FLAGS, READ_ONLY, CAN_MULTI_CONN. */
const FLAGS = 0x0103;
const SEND_DF = 0x80;

const choice = (name: string, ...requests: number[]): Buffer =>
  Buffer.concat([text(name), u16(requests.length), ...requests.map(u16)]);
const query = (name: string, ...queries: string[]): Buffer =>
  Buffer.concat([text(name), u32(queries.length), ...queries.map(text)]);

/** Runs `talk` with a client that was greeted. */
async function haggle(talk: (client: RawClient) => Promise<void>): Promise<void> {
  await serving(EXPORTS, async ({ socketPath }) => {
    const client = await RawClient.greeted(socketPath);
    await talk(client);
    client.end();
  });
}

test('the greeting offers fixed newstyle and no zeroes', async () => {
  await serving(EXPORTS, async ({ socketPath }) => {
    const client = await RawClient.open(socketPath);
    const greeting = await client.take(18);
    client.end();
    if (greeting.toString('latin1') !== 'NBDMAGICIHAVEOPT\x00\x03') throw new Error(greeting.toString('hex'));
  });
});

test('GO tells what was asked for and enters', async (t) => {
  await haggle(async (client) => {
    client.option(OPTION.GO, choice('disk', INFO.NAME, INFO.DESCRIPTION, INFO.BLOCK_SIZE, 0x7777));
    const infos: Buffer[] = [];
    for (let reply = await client.reply(); reply.type !== REPLY.ACK; reply = await client.reply()) {
      t.equal(reply.type, REPLY.INFO);
      t.equal(reply.option, OPTION.GO);
      infos.push(reply.data);
    }
    t.same(infos, [
      Buffer.concat([u16(0), u64(100_000), u16(FLAGS)]),
      Buffer.from('\0\x01disk'),
      Buffer.from('\0\x02a disk'),
      Buffer.concat([u16(3), u32(1), u32(4096), u32(32 * 1024 * 1024)]),
    ]);
    client.request(0, 9, 5, 3);
    t.same(await client.simple(), { error: 0, cookie: 9n });
    t.same(await client.take(3), Buffer.from(patternBytes(100_000).subarray(5, 8)));
  });
});

test('INFO tells the same and stays', async (t) => {
  await haggle(async (client) => {
    client.option(OPTION.INFO, choice(''));
    t.same((await client.reply()).data, Buffer.concat([u16(0), u64(1000), u16(FLAGS)]));
    t.equal((await client.reply()).type, REPLY.ACK);
    client.option(OPTION.INFO, choice('disk'));
    t.same((await client.reply()).data.subarray(2, 10), u64(100_000));
    t.equal((await client.reply()).type, REPLY.ACK);
  });
});

test('EXPORT_NAME enters, with 124 zeroes for those who did not say NO_ZEROES', async (t) => {
  await serving(EXPORTS, async ({ socketPath }) => {
    for (const [flags, zeroes] of [
      [3, 0],
      [1, 124],
      [0, 124],
    ] as const) {
      const client = await RawClient.greeted(socketPath, flags);
      client.option(OPTION.EXPORT_NAME, Buffer.from('disk'));
      t.same(await client.take(10 + zeroes), Buffer.concat([u64(100_000), u16(FLAGS), Buffer.alloc(zeroes)]));
      client.request(0, 1, 0, 1);
      t.equal((await client.simple()).error, 0, `reads after flags ${flags}`);
      client.end();
    }
  });
});

test('EXPORT_NAME of what is not there can only be answered by closing', async (t) => {
  await serving(EXPORTS, async ({ socketPath }) => {
    for (const name of ['disk2', 'DISK', `${'x'.repeat(4097)}`, Buffer.from([0xff]), Buffer.from('disk\0')]) {
      const client = await RawClient.greeted(socketPath);
      client.option(OPTION.EXPORT_NAME, Buffer.from(name));
      t.equal((await client.rest()).length, 0, String(name).slice(0, 10));
    }
  });
});

test('LIST names every export', async (t) => {
  await haggle(async (client) => {
    client.option(OPTION.LIST);
    const entries: Buffer[] = [];
    for (let reply = await client.reply(); reply.type !== REPLY.ACK; reply = await client.reply()) {
      t.equal(reply.type, REPLY.SERVER);
      entries.push(reply.data);
    }
    t.same(entries, [Buffer.concat([text('disk'), Buffer.from('a disk')]), text(''), text('dïsk/2')]);
  });
});

test('ABORT is acknowledged, and the connection closed', async (t) => {
  await haggle(async (client) => {
    client.option(OPTION.ABORT, Buffer.from('data that the spec tells to ignore'));
    t.equal((await client.reply()).type, REPLY.ACK);
    t.equal((await client.rest()).length, 0);
  });
});

test('structured replies are offered, and DF with them', async (t) => {
  await haggle(async (client) => {
    client.option(OPTION.STRUCTURED_REPLY);
    t.equal((await client.reply()).type, REPLY.ACK);
    client.option(OPTION.GO, choice('disk'));
    t.same((await client.reply()).data, Buffer.concat([u16(0), u64(100_000), u16(FLAGS | SEND_DF)]));
  });
});

test('metadata contexts are listed and selected', async (t) => {
  const cases: [option: number, queries: string[], found: boolean][] = [
    [OPTION.LIST_META_CONTEXT, [], true],
    [OPTION.LIST_META_CONTEXT, ['base:'], true],
    [OPTION.LIST_META_CONTEXT, ['qemu:', 'base:allocation'], true],
    [OPTION.LIST_META_CONTEXT, ['base:alloc', 'qemu:dirty-bitmap:x', 'nonsense'], false],
    [OPTION.SET_META_CONTEXT, ['x-a:b', 'base:allocation', 'base:allocation'], true],
    [OPTION.SET_META_CONTEXT, ['base:'], false],
    [OPTION.SET_META_CONTEXT, [], false],
  ];
  await haggle(async (client) => {
    client.option(OPTION.STRUCTURED_REPLY);
    await client.reply();
    for (const [option, queries, found] of cases) {
      client.option(option, query('disk', ...queries));
      if (found) {
        const { type, data } = await client.reply();
        t.equal(type, REPLY.META_CONTEXT, `${option} ${queries}`);
        const id = option === OPTION.LIST_META_CONTEXT ? 0 : 1;
        t.same(data, Buffer.concat([u32(id), Buffer.from('base:allocation')]));
      }
      t.equal((await client.reply()).type, REPLY.ACK, `${option} ${queries}`);
      client.option(option, query('', ...queries));
      t.equal((await client.reply()).type, REPLY.ACK, 'an export that knows no extents has no context');
    }
  });
});

test('a selection ends with the next one, and counts for its export only', async (t) => {
  const select = query('disk', 'base:allocation');
  const cases: [name: string, steps: [number, Buffer][], enter: string, allowed: boolean][] = [
    ['selected', [[OPTION.SET_META_CONTEXT, select]], 'disk', true],
    ['not selected', [], 'disk', false],
    ['listed only', [[OPTION.LIST_META_CONTEXT, select]], 'disk', false],
    ['for another export', [[OPTION.SET_META_CONTEXT, select]], '', false],
    ['replaced', [select, query('disk')].map((data) => [OPTION.SET_META_CONTEXT, data]), 'disk', false],
    ['replaced by a failure', [select, u32(1)].map((data) => [OPTION.SET_META_CONTEXT, data]), 'disk', false],
    [
      'replaced by too much',
      [select, Buffer.alloc(70_000)].map((data) => [OPTION.SET_META_CONTEXT, data]),
      'disk',
      false,
    ],
  ];
  for (const [name, steps, enter, allowed] of cases) {
    await haggle(async (client) => {
      client.option(OPTION.STRUCTURED_REPLY);
      await client.reply();
      for (const [option, data] of steps) {
        client.option(option, data);
        while ((await client.reply()).type === REPLY.META_CONTEXT);
      }
      client.option(OPTION.EXPORT_NAME, Buffer.from(enter));
      await client.take(10);
      client.request(7, 3, 0, 512);
      t.equal((await client.chunk()).type, allowed ? 5 : 0x8001, name);
    });
  }
});

test('what is wrong is refused, and the haggling goes on', async (t) => {
  const cases: [name: string, option: number, data: Buffer, type: number][] = [
    ['TLS', OPTION.STARTTLS, Buffer.alloc(0), REPLY.ERR_UNSUP],
    ['extended headers', 11, Buffer.alloc(0), REPLY.ERR_UNSUP],
    ['an unknown option with data', 0xffffffff, Buffer.alloc(5000), REPLY.ERR_UNSUP],
    ['LIST with data', OPTION.LIST, Buffer.alloc(1), REPLY.ERR_INVALID],
    ['STRUCTURED_REPLY with data', OPTION.STRUCTURED_REPLY, Buffer.alloc(1), REPLY.ERR_INVALID],
    ['GO, unknown', OPTION.GO, choice('disc'), REPLY.ERR_UNKNOWN],
    ['INFO, unknown', OPTION.INFO, choice('disc'), REPLY.ERR_UNKNOWN],
    ['GO without data', OPTION.GO, Buffer.alloc(0), REPLY.ERR_INVALID],
    ['GO with a name that is too long', OPTION.GO, choice('x'.repeat(4097)), REPLY.ERR_INVALID],
    ['GO with a name that overruns', OPTION.GO, Buffer.concat([u32(100), Buffer.alloc(20)]), REPLY.ERR_INVALID],
    ['more data than is taken', OPTION.GO, Buffer.alloc(64 * 1024 + 1), REPLY.ERR_TOO_BIG],
    [
      'contexts without structured replies',
      OPTION.SET_META_CONTEXT,
      query('disk', 'base:allocation'),
      REPLY.ERR_INVALID,
    ],
    ['a list of contexts without them', OPTION.LIST_META_CONTEXT, query('disk'), REPLY.ERR_INVALID],
  ];
  await haggle(async (client) => {
    for (const [name, option, data, type] of cases) {
      client.option(option, data);
      const reply = await client.reply();
      t.same([reply.option, reply.type], [option, type], name);
      t.ok(reply.data.length > 0, `${name}: with a reason`);
    }
    client.option(OPTION.STRUCTURED_REPLY);
    await client.reply();
    client.option(OPTION.SET_META_CONTEXT, query('disc', 'base:allocation'));
    t.equal((await client.reply()).type, REPLY.ERR_UNKNOWN, 'contexts of an unknown export');
    client.option(OPTION.SET_META_CONTEXT, u32(4));
    t.equal((await client.reply()).type, REPLY.ERR_INVALID, 'malformed contexts');
    client.option(OPTION.GO, choice('disk'));
    t.equal((await client.reply()).type, REPLY.INFO, 'enters all the same');
  });
});

test('what breaks the protocol is closed', async (t) => {
  await serving(EXPORTS, async ({ socketPath }) => {
    const cases: [string, number, Buffer][] = [
      ['unknown client flags', 4, Buffer.alloc(0)],
      ['all client flags', 0xffffffff, Buffer.alloc(0)],
      ['a wrong option magic', 3, Buffer.from('IHAVEOPTIONSFOR!')],
      ['a request before an export', 3, Buffer.concat([u32(0x25609513), Buffer.alloc(24)])],
      ['more than 32 MiB of option data', 3, Buffer.concat([Buffer.from('IHAVEOPT'), u32(6), u32(0xffffffff)])],
    ];
    for (const [name, flags, said] of cases) {
      const client = await RawClient.greeted(socketPath, flags);
      client.say(said);
      t.equal((await client.rest()).length, 0, name);
    }
  });
});
