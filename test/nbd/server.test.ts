// The server's life: it answers while the work runs, and leaves nothing behind, however it ends.
import { getEventListeners } from 'node:events';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { DatamoverError } from '../../src/errors.ts';
import { type NbdAddress, nbdUri } from '../../src/nbd/address.ts';
import type { Export } from '../../src/nbd/export.ts';
import { type NbdServerOptions, withNbdServer } from '../../src/nbd/server.ts';
import { memoryExport, patternBytes } from '../helpers/memory-export.ts';
import { RawClient } from '../helpers/nbd.ts';
import { tempFolder } from '../helpers/tmp.ts';

const disk = memoryExport('disk', patternBytes(100_000));

/** Its reads end only when they are aborted. */
class StalledExport implements Export {
  readonly name = 'stalled';
  readonly size = 100_000;
  readonly begun = Promise.withResolvers<void>();
  underWay = 0;

  async read(_offset: number, _length: number, signal: AbortSignal): Promise<never> {
    this.underWay += 1;
    this.begun.resolve();
    try {
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    } finally {
      this.underWay -= 1;
    }
    throw new Error('never');
  }
}

function options(folder: string, more: Partial<NbdServerOptions> = {}): NbdServerOptions {
  return {
    exports: new Map([['disk', disk]]),
    listen: { socketPath: join(folder, 's') },
    signal: new AbortController().signal,
    ...more,
  };
}

async function refused(t: Test, opts: NbdServerOptions, message: RegExp): Promise<void> {
  let worked = false;
  const outcome = await withNbdServer(opts, async () => {
    worked = true;
  }).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof DatamoverError)) throw new Error(`no DatamoverError: ${outcome}`);
  t.equal(outcome.code, 'LISTEN_FAILED');
  t.match(outcome.message, message);
  t.not(outcome.hint, '');
  t.notOk(worked);
}

test('answers from the moment that the work begins, gives its result, removes the socket', async (t) => {
  const folder = tempFolder(t);
  const result = await withNbdServer(options(folder), async (address) => {
    t.same(address, { socketPath: join(folder, 's') });
    t.equal((await stat(join(folder, 's'))).mode & 0o777, 0o600);
    const client = await RawClient.entered(join(folder, 's'), 'disk');
    client.request(0, 1, 0, 5);
    t.equal((await client.simple()).error, 0);
    return 'done';
  });
  t.equal(result, 'done');
  t.same(await readdir(folder), []);
});

test('listens on loopback TCP, on a port of the system’s choice', async (t) => {
  const gone = await withNbdServer(
    options('', { listen: { host: '127.0.0.1', port: 0 } }),
    async (address): Promise<NbdAddress> => {
      if (!('port' in address)) throw new Error('no port');
      t.ok(address.port > 0);
      const socket = connect(address.port, address.host);
      const greeting = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
      t.equal(greeting.toString('latin1', 0, 8), 'NBDMAGIC');
      return address;
    },
  );
  const socket = connect({ ...('port' in gone ? gone : { path: '' }) });
  const error = await new Promise<Error>((resolve) => socket.once('error', resolve));
  t.match(error, { code: 'ECONNREFUSED' });
});

test('an address that cannot be had is LISTEN_FAILED', async (t) => {
  const folder = tempFolder(t);
  await writeFile(join(folder, 'file'), '');
  await refused(t, options(folder, { listen: { socketPath: join(folder, 'file') } }), /file: .*EADDRINUSE/);
  await refused(t, options(folder, { listen: { socketPath: join(folder, 'none', 's') } }), /none\/s: /);
  const long = join(folder, 'x'.repeat(107 - folder.length));
  t.equal(long.length, 108);
  await refused(t, options(folder, { listen: { socketPath: long } }), /107 bytes/);
  t.same(await readdir(folder), ['file'], 'what was there stays');
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const taken = other.address();
  if (taken === null || typeof taken === 'string') throw new Error('no port');
  await refused(t, options('', { listen: { host: '127.0.0.1', port: taken.port } }), /port \d+: .*EADDRINUSE/);
  other.close();
});

test('a path of 107 bytes is not too long', async (t) => {
  const folder = tempFolder(t);
  const socketPath = join(folder, 'x'.repeat(106 - folder.length));
  t.equal(socketPath.length, 107);
  await withNbdServer(options(folder, { listen: { socketPath } }), async () => {
    (await RawClient.greeted(socketPath)).end();
  });
  t.same(await readdir(folder), []);
});

test('the work’s failure is the server’s, after everything has ended', async (t) => {
  const folder = tempFolder(t);
  const stalled = new StalledExport();
  const failure = new Error('qemu-img has failed');
  await t.rejects(
    withNbdServer(options(folder, { exports: new Map([['stalled', stalled]]) }), async () => {
      const client = await RawClient.entered(join(folder, 's'), 'stalled');
      client.request(0, 1, 0, 5);
      await stalled.begun.promise;
      throw failure;
    }),
    failure,
  );
  t.equal(stalled.underWay, 0);
  t.same(await readdir(folder), []);
});

/** What a client does before the abort, by name. */
const STATES: Record<string, (path: string, stalled: StalledExport) => Promise<RawClient | undefined>> = {
  'nobody connected': async () => undefined,
  'just connected': (path) => RawClient.open(path),
  greeted: (path) => RawClient.greeted(path),
  'in the middle of an option': async (path) => {
    const client = await RawClient.greeted(path);
    client.say(Buffer.from('IHAVEOPT\0\0'));
    return client;
  },
  'entered, idle': (path) => RawClient.entered(path, 'stalled'),
  'a read under way': async (path, stalled) => {
    const client = await RawClient.entered(path, 'stalled');
    client.request(0, 1, 0, 100);
    await stalled.begun.promise;
    return client;
  },
  'after DISC, a read under way': async (path, stalled) => {
    const client = await RawClient.entered(path, 'stalled', true);
    client.request(0, 1, 0, 100);
    client.request(2, 2, 0, 0);
    await stalled.begun.promise;
    return client;
  },
  'in the middle of a payload': async (path) => {
    const client = await RawClient.entered(path, 'stalled');
    client.request(1, 1, 0, 1_000_000);
    client.say(Buffer.alloc(1000));
    return client;
  },
  'replies that are not taken': async (path) => {
    const client = await RawClient.entered(path, 'big');
    client.socket.pause();
    for (let cookie = 0; cookie < 8; cookie += 1) client.request(0, cookie, 0, 4 * 1024 * 1024);
    return client;
  },
  'waiting for room': async (path, stalled) => {
    const client = await RawClient.entered(path, 'stalled');
    for (let cookie = 0; cookie < 2000; cookie += 1) client.request(0, cookie, 0, 100);
    await stalled.begun.promise;
    return client;
  },
};

test('an abort ends everything, in every state', async (t) => {
  const big = memoryExport('big', new Uint8Array(4 * 1024 * 1024));
  for (const [name, enter] of Object.entries(STATES)) {
    const folder = tempFolder(t);
    const stalled = new StalledExport();
    const stop = new AbortController();
    const errors: unknown[] = [];
    const exports = new Map<string, Export>([stalled, big].map((item) => [item.name, item]));
    const serverOptions = options(folder, { exports, signal: stop.signal, onError: (_, error) => errors.push(error) });
    const reason = new Error('stop');
    await t.rejects(
      withNbdServer(serverOptions, async (_, signal) => {
        const client = await enter(join(folder, 's'), stalled);
        stop.abort(reason);
        client?.socket.resume();
        await client?.rest();
        signal.throwIfAborted();
      }),
      reason,
      name,
    );
    t.equal(stalled.underWay, 0, `${name}: no read goes on`);
    t.same(errors, [], `${name}: an aborted read is no error`);
    t.same(await readdir(folder), [], `${name}: no socket is left`);
    t.equal(getEventListeners(stop.signal, 'abort').length, 0, `${name}: no listener is left`);
  }
});

test('a signal that was aborted before is its reason, and nothing is made', async (t) => {
  const folder = tempFolder(t);
  const reason = new Error('before');
  await t.rejects(
    withNbdServer(options(folder, { signal: AbortSignal.abort(reason) }), async () => t.fail('works')),
    reason,
  );
  t.same(await readdir(folder), []);
});

test('an abort while it begins to listen is the reason too', async (t) => {
  const folder = tempFolder(t);
  const stop = new AbortController();
  const reason = new Error('at once');
  const outcome = withNbdServer(options(folder, { signal: stop.signal }), async () => t.fail('works'));
  stop.abort(reason);
  await t.rejects(outcome, reason);
  t.same(await readdir(folder), []);
});

test('a bug on our side of a connection ends the work and is thrown', async (t) => {
  const folder = tempFolder(t);
  const bug = new TypeError('a bug');
  const exports = {
    get: (): never => {
      throw bug;
    },
    values: () => [],
  };
  await t.rejects(
    withNbdServer(options(folder, { exports }), async (_, signal) => {
      const client = await RawClient.greeted(join(folder, 's'));
      client.option(1, Buffer.from('disk'));
      await client.rest();
      t.ok(signal.aborted, 'the work is told');
    }),
    bug,
  );
});

test('clients beyond the limit are closed at once, and a place that is left is given again', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 's');
  await withNbdServer(options(folder, { limits: { connections: 2 } }), async () => {
    const clients = [await RawClient.greeted(path), await RawClient.greeted(path)];
    const third = await RawClient.open(path);
    t.equal((await third.rest()).length, 0);
    for (const client of clients) client.end();
    for (;;) {
      // The server learns of it in its own time.
      const next = await RawClient.open(path);
      if ((await Promise.race([next.take(18), next.rest()])).length === 18) break;
    }
  });
});

test('exports come and go', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 's');
  const exports = new Map<string, Export>();
  await withNbdServer(options(folder, { exports }), async () => {
    await t.rejects(RawClient.entered(path, 'disk'));
    exports.set('disk', disk);
    const client = await RawClient.entered(path, 'disk');
    exports.delete('disk');
    client.request(0, 1, 0, 1);
    t.equal((await client.simple()).error, 0, 'who has it keeps it');
    await t.rejects(RawClient.entered(path, 'disk'));
  });
});

test('URIs', async (t) => {
  t.equal(nbdUri({ socketPath: '/run/a b/s&' }, ''), 'nbd+unix:///?socket=/run/a%20b/s%26');
  t.equal(nbdUri({ socketPath: '/s' }, 'dïsk/2'), 'nbd+unix:///d%C3%AFsk%2F2?socket=/s');
  t.equal(nbdUri({ host: '127.0.0.1', port: 10809 }, ''), 'nbd://127.0.0.1:10809/');
  t.equal(nbdUri({ host: '::1', port: 1 }, 'x'), 'nbd://[::1]:1/x');
});
