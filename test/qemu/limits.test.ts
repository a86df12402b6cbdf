// Limits that the shell, the container or an old system sets: taken where they are smaller than the program's own, and named
// when they are reached. Real limits, real qemu, real busybox.
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { makeChain } from '../helpers/chain.ts';
import { evaluateLimited, type Limits } from '../helpers/limited.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const source = (file: string): string => JSON.stringify(new URL(`../../src/${file}`, import.meta.url).href);

interface Told {
  readonly ok?: string;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
}

/** What a call under limits gives, or its error. `call` may use runTool, checkQemu, takeLock, isLocked, signal and exhaust. */
async function under(limits: Limits, call: string): Promise<Told> {
  const text = `
    import { closeSync, openSync } from 'node:fs';
    import { runTool } from ${source('qemu/run.ts')};
    import { checkQemu } from ${source('qemu/check-qemu.ts')};
    import { takeLock, isLocked } from ${source('scratch/lock.ts')};
    import { readLimit } from ${source('process-limits.ts')};
    const { signal } = new AbortController();
    readLimit('openFiles');
    const exhaust = (spare) => {
      const open = [];
      try { for (;;) open.push(openSync('/dev/null')); } catch {}
      for (let count = 0; count < spare; count += 1) closeSync(open.pop());
      return () => open.forEach((fd) => closeSync(fd));
    };
    let told;
    try { told = { ok: String(await (async () => { ${call} })()) }; }
    catch (error) { told = { code: error.code, message: error.message, hint: error.hint }; }
    console.log(JSON.stringify(told));`;
  const { stdout, stderr } = await evaluateLimited(text, limits);
  const line = stdout.trim().split('\n').at(-1) ?? '';
  if (line === '') throw new Error(`nothing was said: ${stderr}`);
  return JSON.parse(line);
}

/** A folder in which busybox stands for these programs. */
function busybox(t: Test, ...programs: string[]): string {
  const folder = tempFolder(t);
  for (const program of programs) symlinkSync('/bin/busybox', join(folder, program));
  return folder;
}

test('a hard limit of memory below the program’s own is taken', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv', 'prlimit')) return;
  const version = 'return (await checkQemu({ signal })).version';
  const told = await under({ ulimit: ['-d 2000000'] }, version);
  t.match(told.ok, /^\d+\.\d+/, JSON.stringify(told));
  const { layers, dir } = makeChain(t, { size: 64 * MiB, layers: ['A'] });
  const args = JSON.stringify(['convert', '-m', '16', '-W', '-O', 'raw', layers[0], join(dir, 'out.raw')]);
  const killed = await under(
    { ulimit: ['-d 1000000'] },
    `return await runTool('qemu-img', ${args}, { signal, memoryBytes: ${12 * MiB} })`,
  );
  t.equal(killed.code, 'TOOL_FAILED', JSON.stringify(killed));
  t.match(`${killed.message} ${killed.hint}`, /ulimit -d is 977 MiB|limit 12\.0 MiB/);
});

test('a limit of address space that qemu-img reaches is named', async (t) => {
  if (!requires(t, 'qemu-img', 'bash')) return;
  // Node itself needs more than qemu-img is given here.
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'qemu-img'), '#!/bin/bash\nulimit -v 100000; exec /usr/bin/qemu-img "$@"\n', {
    mode: 0o755,
  });
  const told = await under({ path: [folder], ulimit: ['-d 3000000'] }, 'return (await checkQemu({ signal })).version');
  t.match(told.ok ?? told.message, /^\d|out of memory: ulimit -d is/, JSON.stringify(told));
});

test('busybox in the place of util-linux is named', async (t) => {
  if (!requires(t, 'qemu-img', 'busybox', '/bin/busybox')) return;
  const version = 'return (await checkQemu({ signal })).version';
  for (const program of ['setpriv', 'prlimit']) {
    const told = await under({ path: [busybox(t, program)] }, version);
    t.equal(told.code, 'TOOL_MISSING', JSON.stringify(told));
    t.match(told.message, new RegExp(`^${program} is too old, or not the one of util-linux: `));
    t.match(told.hint, /^install util-linux 2\.33 or newer: apt-get install util-linux, apk add util-linux/);
  }
  const lock = JSON.stringify(join(tempFolder(t), 'lock'));
  for (const call of [
    `await takeLock(${lock})`,
    `await takeLock(${lock}).catch(() => {}); return await isLocked(${lock})`,
  ]) {
    const told = await under({ path: [busybox(t, 'flock')] }, call);
    t.equal(told.code, 'TOOL_MISSING', JSON.stringify(told));
    t.match(told.message, /^flock is too old, or not the one of util-linux: /);
  }
});

test('a launcher that fails is told as the launcher', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv', 'prlimit')) return;
  const folder = tempFolder(t);
  // prlimit itself, asked for what nobody may do.
  const script = '#!/bin/bash\nexec /usr/bin/prlimit --nice=999999999999:1 "$@"\n';
  writeFileSync(join(folder, 'prlimit'), script, { mode: 0o755 });
  const told = await under({ path: [folder] }, 'return (await checkQemu({ signal })).version');
  t.match(told, { code: /^TOOL_/, message: /^prlimit / }, JSON.stringify(told));
});

test('too few descriptors to start a program', async (t) => {
  if (!requires(t, 'qemu-img', 'flock')) return;
  const folder = tempFolder(t);
  const lock = JSON.stringify(join(folder, 'lock'));
  for (const spare of [0, 1, 2, 3, 4, 5]) {
    const tool = await under(
      { ulimit: ['-n 60'] },
      `const free = exhaust(${spare}); return await runTool('qemu-img', ['--version'], { signal }).finally(free)`,
    );
    t.equal(tool.code, 'TOOL_FAILED', JSON.stringify(tool));
    t.match(tool.message, /^qemu-img could not be started: too many open files: the limit is 60$/);
    t.match(tool.hint, /ulimit -n \d+/);
    const locked = await under(
      { ulimit: ['-n 60'] },
      `const free = exhaust(${spare}); return await takeLock(${lock}).finally(free)`,
    );
    t.match(locked.code, /^(TOOL_FAILED|EMFILE)$/, JSON.stringify(locked));
    if (locked.code !== 'EMFILE')
      t.match(locked.message, /^flock could not be started: too many open files: the limit is 60$/);
  }
});

test('too few descriptors or threads inside qemu-img', async (t) => {
  if (!requires(t, 'root', 'qemu-img', 'setpriv', 'bash')) return;
  const { layers, dir } = makeChain(t, { size: 64 * MiB, layers: [{ cells: 'AB'.repeat(64) }] });
  const folder = tempFolder(t);
  const convert = JSON.stringify(['convert', '-m', '16', '-W', '-O', 'raw', layers[0], join(dir, 'out.raw')]);
  const check = JSON.stringify(['check', layers[0]]);
  const limited = (line: string): void =>
    writeFileSync(join(folder, 'qemu-img'), `#!/bin/bash\n${line} /usr/bin/qemu-img "$@"\n`, { mode: 0o755 });
  limited('ulimit -n 8; exec');
  const call = (args: string): string => `return (await runTool('qemu-img', ${args}, { signal })).exitCode`;
  const files = await under({ path: [folder] }, call(convert));
  t.match(files, { code: 'TOOL_FAILED', message: /^qemu-img failed: too many open files: / }, JSON.stringify(files));
  limited('ulimit -n 6; exec');
  const checked = await under({ path: [folder] }, call(check));
  t.match(checked, { code: 'TOOL_FAILED', message: /^qemu-img failed: too many open files: / }, 'no damaged image');
  // Root is not counted: another user is, whose number nobody else has.
  limited(`ulimit -u 2; exec setpriv --reuid ${60_000 + (process.pid % 5000)} --clear-groups`);
  const threads = await under({ path: [folder] }, call(JSON.stringify(['--version'])));
  t.match(threads.ok ?? threads.message, /^0$|no more processes or threads may be started/, JSON.stringify(threads));
  const more = await under(
    { path: [folder] },
    call(JSON.stringify(['create', '-f', 'raw', join('/dev/shm', `kdm-${process.pid}`), `${64 * KiB}`])),
  );
  t.match(
    more,
    { code: 'TOOL_FAILED', message: /^qemu-img failed: no more processes or threads may be started/ },
    JSON.stringify(more),
  );
});
