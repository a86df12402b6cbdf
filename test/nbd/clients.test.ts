// Real clients judge the server: libnbd's tools, qemu's, and the reference implementation's.
import { createHash } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { withNbdServer } from '../../src/nbd/server.ts';
import { isFilled } from '../helpers/filled.ts';
import { memoryExport, patternBytes } from '../helpers/memory-export.ts';
import { run, type Served, serving } from '../helpers/nbd.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const MiB = 1024 * 1024;
const bytes = patternBytes(8 * MiB);
/** No multiple of a sector. */
const odd = patternBytes(3 * MiB + 77, 2);
const EXPORTS = [
  memoryExport('disk', bytes, { description: 'the disk', extents: true, chunkSize: 100_000 }),
  memoryExport('odd', odd),
  memoryExport('', odd.subarray(0, 5000)),
  memoryExport('leer/ü?', bytes.subarray(0, MiB)),
];

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

async function served<T>(work: (served: Served) => Promise<T>): Promise<T> {
  return await serving(EXPORTS, work, {
    onError: (name, error) => {
      throw new Error(`${name} failed`, { cause: error });
    },
  });
}

async function ok(program: string, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await run(program, ...args);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${status}: ${stderr}`);
  return stdout;
}

test('nbdinfo', async (t) => {
  if (!requires(t, 'nbdinfo')) return;
  await served(async ({ uri }) => {
    const info = JSON.parse(await ok('nbdinfo', '--json', uri('disk')));
    t.match(info, { protocol: 'newstyle-fixed', TLS: false, structured: true });
    t.match(info.exports[0], {
      'export-name': 'disk',
      description: 'the disk',
      'export-size': 8 * MiB,
      contexts: ['base:allocation'],
      is_read_only: true,
      can_df: true,
      can_fua: false,
      can_flush: false,
      can_multi_conn: true,
      can_trim: false,
      can_zero: false,
      block_size_minimum: 1,
      block_size_preferred: 4096,
      block_size_maximum: 32 * MiB,
    });
    const list = JSON.parse(await ok('nbdinfo', '--list', '--json', uri('')));
    t.same(
      list.exports.map((item: { 'export-name': string }) => item['export-name']),
      ['disk', 'odd', '', 'leer/ü?'],
    );
    const map = JSON.parse(await ok('nbdinfo', '--map', '--json', uri('disk')));
    t.equal(map.length, 512);
    t.match(map.slice(0, 2), [
      { offset: 0, length: 16_384, type: 0 },
      { offset: 16_384, length: 16_384, type: 3 },
    ]);
    t.equal(await ok('nbdinfo', '--size', uri('leer/ü?')), `${MiB}\n`);
    t.not((await run('nbdinfo', uri('none'))).status, 0, 'an export that is not there');
  });
});

test('nbdcopy', async (t) => {
  if (!requires(t, 'nbdcopy')) return;
  const folder = tempFolder(t);
  await served(async ({ uri }) => {
    for (const [name, content] of [
      ['disk', bytes],
      ['odd', odd],
      ['', odd.subarray(0, 5000)],
    ] as const) {
      for (const flags of [
        [],
        ['--synchronous'],
        ['--connections=4', '--requests=64', '--request-size=1048576'],
        ['-S', '0'],
      ]) {
        const out = join(folder, 'out');
        await writeFile(out, '');
        await truncate(out, content.length);
        await ok('nbdcopy', ...flags, uri(name), out);
        t.equal(sha256(await readFile(out)), sha256(content), `"${name}" ${flags}`);
      }
    }
  });
});

test('qemu-img', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const folder = tempFolder(t);
  await served(async ({ uri }) => {
    const info = JSON.parse(await ok('qemu-img', 'info', '--output=json', '-f', 'raw', uri('disk')));
    t.match(info, { 'virtual-size': 8 * MiB, format: 'raw' });
    const map = JSON.parse(await ok('qemu-img', 'map', '--output=json', '-f', 'raw', uri('disk')));
    t.equal(map.length, 512);
    t.match(map[1], { start: 16_384, length: 16_384, data: false, zero: true });
    for (const [name, content] of [
      ['disk', bytes],
      ['odd', odd],
    ] as const) {
      const truth = join(folder, 'truth');
      const out = join(folder, 'out');
      await writeFile(truth, content);
      await ok('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', '-W', '-m', '16', uri(name), out);
      const copied = await readFile(out);
      // qemu counts in sectors: it adds zeroes to the last one.
      t.equal(sha256(copied.subarray(0, content.length)), sha256(content), `convert ${name}`);
      t.ok(isFilled(copied.subarray(content.length)));
      t.match(await ok('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', uri(name), truth), /identical/);
    }
    await writeFile(join(folder, 'truth'), bytes.with(5 * MiB + 1, 0));
    const { status, stdout } = await run(
      'qemu-img',
      'compare',
      uri('disk'),
      join(folder, 'truth'),
      '-f',
      'raw',
      '-F',
      'raw',
    );
    t.equal(status, 1);
    t.match(stdout, /mismatch at offset 5242880/);
  });
});

test('qemu-img reads a qcow2 layer through it, many layers at a time', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const folder = tempFolder(t);
  const names = ['0', '1', '2'];
  const disk = join(folder, 'disk');
  await writeFile(disk, bytes);
  for (const name of names) await ok('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', disk, join(folder, name));
  const layers = await Promise.all(
    names.map(async (name) => memoryExport(name, await readFile(join(folder, name)), { chunkSize: 50_000 })),
  );
  await serving(layers, async ({ socketPath }) => {
    const node = (name: string, backing: unknown): unknown => ({
      driver: 'qcow2',
      file: { driver: 'nbd', server: { type: 'unix', path: socketPath }, export: name },
      backing,
    });
    const graph = `json:${JSON.stringify(node('2', node('1', node('0', null))))}`;
    t.match(await ok('qemu-img', 'compare', '-F', 'raw', graph, disk), /identical/);
  });
});

test('qemu-io reads, and is refused a write', async (t) => {
  if (!requires(t, 'qemu-io')) return;
  await served(async ({ uri }) => {
    t.match(
      await ok('qemu-io', '-r', '-f', 'raw', '-c', 'read -P 0 16k 16k', '-c', 'read 5M 3M', uri('disk')),
      /3 MiB/,
    );
    const mismatch = await run('qemu-io', '-r', '-f', 'raw', '-c', 'read -P 0 0 16k', uri('disk'));
    t.match(mismatch.stdout, /Pattern verification failed/);
    const write = await run('qemu-io', '-f', 'raw', '-c', 'write 0 4k', uri('disk'));
    t.not(write.status, 0);
    t.match(write.stdout + write.stderr, /read-only|denied/i);
  });
});

test('qemu-nbd lists', async (t) => {
  if (!requires(t, 'qemu-nbd')) return;
  await served(async ({ socketPath }) => {
    const listed = await ok('qemu-nbd', '-L', '-k', socketPath);
    t.match(listed, /exports available: 4/);
    t.match(listed, /export: 'disk'\s+description: the disk\s+size: {2}8388608/);
    t.match(listed, /base:allocation/);
    t.match(listed, /max block: 33554432/);
  });
});

test('nbd-client lists, the reference implementation', async (t) => {
  if (!requires(t, 'nbd-client')) return;
  await served(async ({ socketPath }) => {
    const listed = await ok('nbd-client', '-l', '-u', socketPath);
    for (const name of ['disk', 'odd', 'leer/ü?']) t.ok(listed.includes(name), name);
  });
});

/** The program `nbdsh` takes the first `python3` of PATH; only Debian's own has the module. */
const SYSTEM_PYTHON = '/usr/bin/python3';
const NBDSH = [SYSTEM_PYTHON, '-mnbd'] as const;

/** Statements for nbdsh; what they print is what counts. */
async function nbdsh(uri: string, ...lines: string[]): Promise<string> {
  return (await ok(...NBDSH, '-u', uri, '-c', lines.join('\n'))).trim();
}

const ATTEMPT = [
  'def attempt(f):',
  '    try:',
  '        f(); print("done")',
  '    except nbd.Error as e: print(e.errno)',
];

test('nbdsh: every command that a careful client would not send', async (t) => {
  if (!requires(t, 'nbdsh', SYSTEM_PYTHON)) return;
  await served(async ({ uri }) => {
    const refused = await nbdsh(
      uri('disk'),
      ...ATTEMPT,
      'h.set_strict_mode(0)',
      'attempt(lambda: h.pwrite(b"x" * 1000, 0))',
      'attempt(lambda: h.trim(512, 0))',
      'attempt(lambda: h.zero(512, 0))',
      'attempt(lambda: h.flush())',
      'attempt(lambda: h.cache(512, 0))',
      'attempt(lambda: h.pread(512, 8388608))',
      'attempt(lambda: h.pread(512, 0, nbd.CMD_FLAG_FUA))',
      'attempt(lambda: h.pread(512, 0, nbd.CMD_FLAG_DF))',
      'attempt(lambda: h.block_status(512, 0, lambda *a: 0))',
      'attempt(lambda: h.pread(512, 0))',
    );
    t.same(refused.split('\n'), [
      'EPERM',
      'EPERM',
      'EPERM',
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'done',
      'EINVAL',
      'done',
    ]);
  });
});

test('nbdsh: old and odd ways to connect', async (t) => {
  if (!requires(t, 'nbdsh', SYSTEM_PYTHON)) return;
  const expected = sha256(bytes.subarray(1000, 1000 + 200_000));
  const read = 'import hashlib; print(hashlib.sha256(h.pread(200000, 1000)).hexdigest())';
  await served(async ({ socketPath }) => {
    for (const [name, ...lines] of [
      ['no structured replies', 'h.set_request_structured_replies(False)'],
      ['no handshake flags: EXPORT_NAME padded with zeroes', 'h.set_handshake_flags(0)'],
      ['INFO before GO', 'h.set_opt_mode(True)'],
    ] as const) {
      const connect = `h.connect_unix("${socketPath}")`;
      const script = ['h.set_export_name("disk")', ...lines, connect];
      if (name.startsWith('INFO')) script.push('h.opt_info()', 'print(h.get_size())', 'h.opt_go()');
      const printed = await ok(...NBDSH, '-c', [...script, read].join('\n'));
      t.ok(printed.trim().endsWith(expected), name);
    }
  });
});

test('nbdsh: many requests under way, answered in any order', async (t) => {
  if (!requires(t, 'nbdsh', SYSTEM_PYTHON)) return;
  await served(async ({ uri }) => {
    const printed = await nbdsh(
      uri('disk'),
      'import hashlib',
      'bufs = [nbd.Buffer(131072) for i in range(64)]',
      'cookies = [h.aio_pread(bufs[i], i * 131072) for i in range(64)]',
      'for cookie in cookies:',
      '    while not h.aio_command_completed(cookie): h.poll(-1)',
      'print(hashlib.sha256(b"".join(b.to_bytearray() for b in bufs)).hexdigest())',
    );
    t.equal(printed, sha256(bytes));
  });
});

test('an error of the export reaches the client as EIO and qemu-img as a failure', async (t) => {
  if (!requires(t, 'nbdsh', SYSTEM_PYTHON, 'qemu-img')) return;
  const errors: string[] = [];
  const broken = {
    ...memoryExport('broken', bytes),
    read: async (offset: number, length: number, signal: AbortSignal) => {
      if (offset + length > 5 * MiB) throw new Error('the object has changed');
      return await memoryExport('broken', bytes).read(offset, length, signal);
    },
  };
  await serving(
    [broken],
    async ({ uri, folder }) => {
      const printed = await nbdsh(
        uri('broken'),
        ...ATTEMPT,
        'attempt(lambda: h.pread(512, 5242880))',
        'attempt(lambda: h.pread(512, 0))',
      );
      t.equal(printed, 'EIO\ndone');
      const { status, stderr } = await run('qemu-img', 'convert', '-O', 'raw', uri('broken'), join(folder, 'out'));
      t.equal(status, 1);
      t.match(stderr, /Input\/output error/);
    },
    { onError: (name, error) => errors.push(`${name}: ${error instanceof Error ? error.message : ''}`) },
  );
  t.ok(errors.length >= 2);
  t.same(new Set(errors), new Set(['broken: the object has changed']));
});

test('several clients at a time, on one export and on others', async (t) => {
  if (!requires(t, 'nbdcopy', 'qemu-img', 'nbdinfo')) return;
  const folder = tempFolder(t);
  await writeFile(join(folder, 'truth'), bytes);
  await served(async ({ uri }) => {
    const outcomes = await Promise.all([
      ...[0, 1, 2].map((index) => run('nbdcopy', uri('disk'), join(folder, `copy${index}`))),
      ...[0, 1, 2].map(() => run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', uri('disk'), join(folder, 'truth'))),
      ...['odd', '', 'leer/ü?'].map((name) => run('nbdinfo', uri(name))),
    ]);
    for (const { status, stderr } of outcomes) t.equal(status, 0, stderr);
    for (const index of [0, 1, 2]) t.equal(sha256(await readFile(join(folder, `copy${index}`))), sha256(bytes));
  });
});

test('over TCP', async (t) => {
  if (!requires(t, 'nbdcopy', 'qemu-img', 'nbd-client')) return;
  const folder = tempFolder(t);
  await writeFile(join(folder, 'truth'), bytes);
  const exports = new Map(EXPORTS.map((item) => [item.name, item]));
  const signal = new AbortController().signal;
  await withNbdServer({ exports, listen: { host: '127.0.0.1', port: 0 }, signal }, async (address) => {
    if (!('port' in address)) throw new Error('no port');
    const uri = `nbd://127.0.0.1:${address.port}/disk`;
    t.match(await ok('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', uri, join(folder, 'truth')), /identical/);
    await ok('nbdcopy', uri, join(folder, 'out'));
    t.equal(sha256(await readFile(join(folder, 'out'))), sha256(bytes));
    t.match(await ok('nbd-client', '-l', '127.0.0.1', String(address.port)), /odd/);
  });
});
