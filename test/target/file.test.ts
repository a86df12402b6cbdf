// A raw file beside its place, and what it takes to get its name.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { openTarget } from '../../src/target/open.ts';
import type { Target } from '../../src/target/target.ts';
import { MiB } from '../../src/units.ts';
import { injecting, nodeOn } from '../helpers/injected.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const signal = new AbortController().signal;
const SIZE = 8 * MiB;
const CLAIM = { planId: 'plan', pvc: 'rootdisk', diskSize: SIZE, runId: 'run-1' };
const BEGIN = { claim: CLAIM, diskSize: SIZE, replace: false, signal };
const NOBODY = 65534;
const EXCUSE = { planId: 'plan', pvc: 'rootdisk', diskSize: SIZE };

async function opened(t: Test, path: string): Promise<Target> {
  const target = await openTarget({ path, partialTag: 'plan', signal });
  t.teardown(async () => await target.close());
  target.checkSize(SIZE);
  return target;
}

test('raw files get their name when they are whole', async (t) => {
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  const target = await opened(t, path);
  t.equal(await target.checkBlank({ force: false, ownClaim: EXCUSE }), 'blank');
  t.match((await target.freeSpace())?.space.pool, `${statSync(folder).dev}`);
  const left = `${path}.plan.partial`;
  writeFileSync(left, 'left by a run that was killed');
  const session = await target.begin(BEGIN);
  t.equal(session.writePath, left);
  t.equal(statSync(left).mode & 0o777, 0o600);
  t.equal(statSync(left).blocks, 0, 'sparse');
  await t.rejects(
    target.checkBlank({ force: false, ownClaim: EXCUSE }).then(() => open(path)),
    { code: 'ENOENT' },
  );
  await session.finish([]);
  t.equal(statSync(path).size, SIZE);
  await t.rejects(target.checkBlank({ force: false, ownClaim: EXCUSE }), { code: 'TARGET_NOT_BLANK' });

  const abandoned = await target.begin(BEGIN);
  writeFileSync(path, 'the old one');
  t.strictSame(await abandoned.abandon(), {});
  t.equal(readFileSync(path, 'utf8'), 'the old one');
});

test('a file that came to be while its name was restored is replaced by force alone', async (t) => {
  const path = join(tempFolder(t), 'disk.raw');
  const target = await opened(t, path);
  for (const replace of [false, true]) {
    const session = await target.begin({ ...BEGIN, replace });
    writeFileSync(path, 'somebody else');
    if (replace) await session.finish([]);
    else {
      await t.rejects(session.finish([]), {
        code: 'TARGET_NOT_BLANK',
        message: /created by another process during the restore/,
      });
      t.strictSame(await session.abandon(), {});
    }
    t.equal(statSync(path).size, replace ? SIZE : 'somebody else'.length);
    t.notOk(existsSync(session.writePath));
  }
});

test('on a file system without hard links a file gets its name, and takes nobody else’s', async (t) => {
  if (!requires(t, 'strace')) return;
  const module = fileURLToPath(new URL('../../src/target/open.ts', import.meta.url));
  for (const taken of [false, true]) {
    const path = join(tempFolder(t), 'disk.raw');
    const script = `
      const { writeFileSync } = await import('node:fs');
      const { openTarget } = await import(${JSON.stringify(module)});
      const signal = new AbortController().signal;
      const target = await openTarget({ path: ${JSON.stringify(path)}, partialTag: 'plan', signal });
      const session = await target.begin({ ...${JSON.stringify({ claim: CLAIM, diskSize: SIZE, replace: false })}, signal });
      if (${taken}) writeFileSync(${JSON.stringify(path)}, 'theirs');
      console.log(await session.finish([]).then(() => 'named', (error) => error.code));
      await session.abandon();`;
    // What FAT answers to link(2).
    const strace = injecting({ calls: 'link,linkat', fault: 'error=EPERM' }, nodeOn(script));
    const { stdout } = spawnSync('strace', strace, { encoding: 'utf8' });
    t.equal(stdout.trim(), taken ? 'TARGET_NOT_BLANK' : 'named');
    t.equal(statSync(path).size, taken ? 'theirs'.length : SIZE);
    t.notOk(existsSync(`${path}.plan.partial`));
  }
});

test('a file that was replaced under our hands gets no name, and is not removed', async (t) => {
  const path = join(tempFolder(t), 'disk.raw');
  const target = await opened(t, path);
  const session = await target.begin(BEGIN);
  writeFileSync(path, 'theirs');
  execFileSync('mv', [path, session.writePath]);
  await t.rejects(session.finish([]), { code: 'TARGET_BUSY' }, 'a file that is not ours gets no name');
  t.strictSame(await session.abandon(), {});
  t.equal(readFileSync(session.writePath, 'utf8'), 'theirs');
});

test('a second name that a killed run left on a finished file is taken away, another file is not', async (t) => {
  const path = join(tempFolder(t), 'disk.raw');
  const partial = `${path}.plan.partial`;
  const target = await opened(t, path);
  writeFileSync(path, 'restored');
  writeFileSync(partial, 'another');
  await target.syncCompleted();
  t.equal(readFileSync(partial, 'utf8'), 'another');
  execFileSync('ln', ['-f', path, partial]);
  await target.syncCompleted();
  t.notOk(existsSync(partial));
  t.equal(readFileSync(path, 'utf8'), 'restored');
});

test('a link in a circle and a name that is too long lead nowhere, the longest name is taken', async (t) => {
  const folder = tempFolder(t);
  execFileSync('ln', ['-s', 'circle.raw', join(folder, 'circle.raw')]);
  for (const [name, why] of [
    ['circle.raw', /leads to itself/],
    [`${'x'.repeat(300)}.raw`, /too long/],
  ] as const) {
    await t.rejects(openTarget({ path: join(folder, name), partialTag: 'plan', signal }), {
      code: 'TARGET_MISSING',
      message: why,
    });
  }
  const longest = join(folder, `${'é'.repeat(125)}.raw`);
  await (await (await opened(t, longest)).begin(BEGIN)).finish([]);
  t.equal(statSync(longest).size, SIZE);
});

test('a folder that cannot be flushed by itself is no failure, one whose flush fails is', async (t) => {
  if (!requires(t, 'strace')) return;
  for (const [error, end] of [
    ['EINVAL', 'named'],
    ['EIO', 'TARGET_WRITE_FAILED'],
  ] as const) {
    const folder = tempFolder(t);
    const script = `
      const target = await openTarget({ path: ${JSON.stringify(join(folder, 'disk.raw'))}, partialTag: 'plan', signal });
      const session = await target.begin({ ...${JSON.stringify({ claim: CLAIM, diskSize: SIZE, replace: false })}, signal });
      console.log(await session.finish([]).then(() => 'named', (error) => error.code));`;
    const strace = injecting({ calls: 'fsync', fault: `error=${error}`, path: folder }, nodeRunning(script));
    const { stdout, stderr } = spawnSync('strace', strace, { encoding: 'utf8' });
    t.equal(stdout.trim(), end, stderr);
  }
});

test('a folder that may be written but not read is refused at the check', async (t) => {
  if (!requires(t, 'root')) return;
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  chownSync(folder, NOBODY, NOBODY);
  chmodSync(folder, 0o300);
  for (const exists of [false, true]) {
    if (exists) {
      writeFileSync(path, 'old');
      chownSync(path, NOBODY, NOBODY);
    }
    const script = `
      process.setgroups([]);
      process.setgid(${NOBODY});
      process.setuid(${NOBODY});
      await openTarget({ path: ${JSON.stringify(path)}, partialTag: 'plan', signal }).then(
        () => console.log('opened'),
        ({ code, message }) => console.log(code, message),
      );`;
    const [node = '', ...args] = nodeRunning(script);
    const { stdout } = spawnSync(node, args, { encoding: 'utf8' });
    const verb = exists ? 'replace' : 'create';
    t.match(stdout, new RegExp(`^TARGET_DENIED cannot ${verb} target .*: permission denied$`, 'm'));
  }
});

/** A command line that runs a script of a module with `openTarget` and a `signal`. */
function nodeRunning(script: string): string[] {
  const module = fileURLToPath(new URL('../../src/target/open.ts', import.meta.url));
  const head = `
    const { openTarget } = await import(${JSON.stringify(module)});
    const signal = new AbortController().signal;`;
  return nodeOn(`${head}${script}`);
}

test('a file that is replaced keeps owner, group and permissions; a new one is its owner’s alone', async (t) => {
  if (!requires(t, 'root')) return;
  const path = join(tempFolder(t), 'disk.img');
  for (const [uid, gid, mode] of [
    [107, 107, 0o660],
    [0, 107, 0o640],
    [107, 0, 0o444],
  ] as const) {
    writeFileSync(path, 'old');
    chownSync(path, uid, gid);
    // Bits that mean nothing on a disk image are not handed on.
    chmodSync(path, mode | 0o4000);
    const session = await (await opened(t, path)).begin({ ...BEGIN, replace: true });
    t.equal(statSync(session.writePath).mode & 0o7777, 0o600, 'not before it is complete');
    t.strictSame(await session.finish([]), { warnings: [] });
    const stats = statSync(path);
    t.strictSame([stats.uid, stats.gid, stats.mode & 0o7777, stats.size], [uid, gid, mode, SIZE]);
    unlinkSync(path);
  }
  t.strictSame(await (await (await opened(t, path)).begin({ ...BEGIN, replace: true })).finish([]), { warnings: [] });
  const stats = statSync(path);
  t.strictSame([stats.uid, stats.gid, stats.mode & 0o7777], [0, 0, 0o600]);
});

test('an owner that cannot be kept is warned of with both, and permissions stay', async (t) => {
  if (!requires(t, 'root', 'setpriv')) return;
  const cases: [readonly string[], readonly [number, number], RegExp?][] = [
    // Root of a pod without capabilities.
    [
      ['--bounding-set=-chown', '--inh-caps=-chown'],
      [0, 0],
      /is owned by 0:0, the replaced file was owned by 107:108; .*: chown 107:108 \//,
    ],
    // Another user, of the file's group.
    [
      [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--groups=108'],
      [NOBODY, 108],
      /is owned by 65534:108, the replaced file was owned by 107:108/,
    ],
    [
      [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
      [NOBODY, NOBODY],
      /is owned by 65534:65534, the replaced file was owned by 107:108/,
    ],
    // May give files away, but not change those of others any more.
    [
      ['--bounding-set=-fowner', '--inh-caps=-fowner'],
      [107, 108],
    ],
  ];
  for (const [privileges, owner, warning] of cases) {
    const folder = tempFolder(t);
    const path = join(folder, 'disk.img');
    writeFileSync(path, 'old');
    chmodSync(folder, 0o777);
    chmodSync(path, 0o660);
    chownSync(path, 107, 108);
    const script = `
      const target = await openTarget({ path: ${JSON.stringify(path)}, partialTag: 'plan', signal });
      const session = await target.begin({ ...${JSON.stringify({ claim: CLAIM, diskSize: SIZE, replace: true })}, signal });
      console.log(JSON.stringify(await session.finish([])));`;
    const { stdout, stderr } = spawnSync('setpriv', [...privileges, '--', ...nodeRunning(script)], {
      encoding: 'utf8',
    });
    const { uid, gid, mode, size } = statSync(path);
    t.strictSame([uid, gid, mode & 0o7777, size], [...owner, 0o660, SIZE], stderr);
    const { warnings } = JSON.parse(stdout);
    t.equal(warnings.length, warning === undefined ? 0 : 1);
    if (warning !== undefined) t.match(warnings[0], warning);
  }
});

test('a beginning that comes to nothing leaves nothing', async (t) => {
  if (!requires(t, 'strace')) return;
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  const script = `
    const target = await openTarget({ path: ${JSON.stringify(path)}, partialTag: 'plan', signal });
    await target.begin({ ...${JSON.stringify({ claim: CLAIM, diskSize: SIZE, replace: false })}, signal }).catch(
      ({ name, code }) => console.log(name, code),
    );`;
  // The first opening makes it, the second asks whether it takes O_DIRECT.
  const fault = { calls: 'openat', fault: 'error=EMFILE:when=2', path: `${path}.plan.partial` };
  const command = injecting(fault, nodeRunning(script));
  // strace counts by thread.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
  const { stdout, stderr } = spawnSync('strace', command, { encoding: 'utf8', env });
  t.equal(stdout.trim(), 'DatamoverError TARGET_WRITE_FAILED', stderr);
  t.strictSame(readdirSync(folder), []);
});

test('a file that another run or program writes is not taken from it', async (t) => {
  if (!requires(t, 'sleep')) return;
  const path = join(tempFolder(t), 'disk.raw');
  const target = await opened(t, path);
  for (const written of [`${path}.plan.partial`, path]) {
    writeFileSync(written, 'theirs');
    const writer = await open(written, 'r+');
    const other = spawn('sleep', ['60'], { stdio: ['ignore', writer.fd, 'ignore'] });
    await writer.close();
    await t.rejects(target.begin({ ...BEGIN, replace: true }), { code: 'TARGET_BUSY', message: /sleep/ });
    t.equal(readFileSync(written, 'utf8'), 'theirs');
    const ended = once(other, 'close');
    other.kill();
    await ended;
  }
  const session = await target.begin({ ...BEGIN, replace: true });
  await session.finish([]);
  t.equal(statSync(path).size, SIZE);
});

test('an existing file in a read-only folder is found at the check', async (t) => {
  if (!requires(t, 'root', 'mount')) return;
  const folder = tempFolder(t);
  const path = join(folder, 'disk.raw');
  execFileSync('mount', ['-t', 'tmpfs', 'kdm-test', folder]);
  try {
    writeFileSync(path, 'old');
    execFileSync('mount', ['-o', 'remount,ro', folder]);
    await t.rejects(openTarget({ path, partialTag: 'plan', signal }), {
      code: 'TARGET_DENIED',
      message: /read-only/,
    });
  } finally {
    execFileSync('umount', [folder]);
  }
});

test('only what is meant as a raw file is made', async (t) => {
  const folder = tempFolder(t);
  for (const path of [folder, join(folder, 'disk'), join(folder, 'no/disk.raw'), '/dev/nope.raw', '/dev/null']) {
    await t.rejects(openTarget({ path, partialTag: 'p', signal }), { code: 'TARGET_MISSING' }, path);
  }
  await openTarget({ path: '/dev/shm/kdm-test.raw', partialTag: 'p', signal });
  const made = await openTarget({ path: join(folder, 'a/b/disk.img'), partialTag: 'p', makeParents: true, signal });
  const session = await made.begin(BEGIN);
  t.equal(statSync(join(folder, 'a/b')).mode & 0o777, 0o700);
  await session.abandon();
  await t.rejects(openTarget({ path: join(folder, 'x.raw'), partialTag: 'p', requireBlockDevice: true, signal }), {
    code: 'TARGET_MISSING',
  });
});
