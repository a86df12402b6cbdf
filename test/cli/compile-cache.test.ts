// bin/compile-cache.js: compiled code is kept where no other user can write, and nowhere else; a start never fails for it.
import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Test, test } from 'tap';
import { MOUNT_TOOLS, mounted } from '../helpers/file-system.ts';
import { requires } from '../helpers/requires.ts';
import { cleanEnvironment } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const run = promisify(execFile);
const BIN = fileURLToPath(new URL('../../bin', import.meta.url));
const OTHER_USER = 65_534;

/** The launcher and a program that prints one line, so that no build is needed; what is cached is that program. */
function install(t: Test): string {
  const folder = tempFolder(t);
  cpSync(BIN, join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  mkdirSync(join(folder, 'dist'));
  writeFileSync(join(folder, 'dist/main.js'), "export const say = () => console.log('started');\nsay();\n");
  return join(folder, 'bin/kubevirt-datamover');
}

/** Fails unless the program started and printed nothing beside its line. */
async function start(t: Test, launcher: string, env: NodeJS.ProcessEnv): Promise<void> {
  const none = { NODE_COMPILE_CACHE: undefined, NODE_DISABLE_COMPILE_CACHE: undefined, XDG_CACHE_HOME: undefined };
  const words = ['-u', 'NODE_OPTIONS', process.execPath, launcher];
  const { stdout, stderr } = await run('env', words, { env: cleanEnvironment({ ...none, ...env }) });
  t.strictSame({ stdout, stderr }, { stdout: 'started\n', stderr: '' });
}

/** Files in the cache below `home`. */
function filesIn(home: string, cache = join(home, '.cache')): string[] {
  const folder = join(cache, 'kubevirt-datamover');
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test('a home that does not exist is not made', async (t) => {
  const launcher = install(t);
  const home = join(tempFolder(t), 'none');
  await start(t, launcher, { HOME: home });
  t.notOk(existsSync(home));
});

test('in the home of the user', async (t) => {
  const launcher = install(t);
  const home = tempFolder(t);
  await start(t, launcher, { HOME: home });
  const made = filesIn(home);
  t.ok(made.length > 0, 'something is kept');
  t.equal(statSync(join(home, '.cache/kubevirt-datamover')).mode & 0o777, 0o700);
  await t.test('is read by the next start', async (t) => {
    const before = made.map((file) => statSync(file).mtimeMs);
    await start(t, launcher, { HOME: home });
    t.strictSame(filesIn(home), made);
    t.strictSame(
      made.map((file) => statSync(file).mtimeMs),
      before,
      'nothing was compiled again',
    );
  });
  await t.test('damaged, is not used', async (t) => {
    for (const file of made) writeFileSync(file, Buffer.alloc(statSync(file).size, 0xa5));
    await start(t, launcher, { HOME: home });
    for (const file of made) writeFileSync(file, '');
    await start(t, launcher, { HOME: home });
  });
});

test('where XDG_CACHE_HOME names an absolute path', async (t) => {
  const launcher = install(t);
  const [home, cache] = [tempFolder(t), join(tempFolder(t), 'some/where')];
  await start(t, launcher, { HOME: home, XDG_CACHE_HOME: cache });
  t.ok(filesIn(home, cache).length > 0);
  t.strictSame(readdirSync(home), []);
  await start(t, launcher, { HOME: home, XDG_CACHE_HOME: 'some/where' });
  t.ok(filesIn(home).length > 0, 'a relative path is ignored, as the specification says');
});

test('nowhere, if it is turned off, or if there is no home', async (t) => {
  const launcher = install(t);
  const home = tempFolder(t);
  await start(t, launcher, { HOME: home, NODE_DISABLE_COMPILE_CACHE: '1' });
  t.strictSame(readdirSync(home), []);
  for (const none of [undefined, '', '/', 'relative']) await start(t, launcher, { HOME: none });
  t.notOk(existsSync('/.cache/kubevirt-datamover'));
});

test('nowhere that another user can write to', async (t) => {
  const launcher = install(t);
  const shapes: Record<string, (home: string) => void> = {
    'everybody may write to the home': (home) => chmodSync(home, 0o777),
    'a group may write to the cache home': (home) => {
      mkdirSync(join(home, '.cache'));
      chmodSync(join(home, '.cache'), 0o775);
    },
    'the directory can be entered by others': (home) => {
      mkdirSync(join(home, '.cache/kubevirt-datamover'), { recursive: true });
      chmodSync(join(home, '.cache/kubevirt-datamover'), 0o755);
    },
    'the cache home is a link to where others may write': (home) => {
      const shared = tempFolder(t);
      chmodSync(shared, 0o777);
      symlinkSync(shared, join(home, '.cache'));
    },
    'the directory is a link': (home) => {
      mkdirSync(join(home, '.cache'));
      symlinkSync(tempFolder(t), join(home, '.cache/kubevirt-datamover'));
    },
    'the directory is a file': (home) => {
      mkdirSync(join(home, '.cache'));
      writeFileSync(join(home, '.cache/kubevirt-datamover'), '');
    },
  };
  for (const [name, shape] of Object.entries(shapes)) {
    await t.test(name, async (t) => {
      const home = tempFolder(t);
      shape(home);
      const before = readdirSync(home, { recursive: true });
      await start(t, launcher, { HOME: home });
      t.strictSame(readdirSync(home, { recursive: true }), before);
    });
  }
});

test("nowhere in another user's home, as under sudo", async (t) => {
  if (!requires(t, 'root')) return;
  const home = tempFolder(t);
  chownSync(home, OTHER_USER, OTHER_USER);
  await start(t, install(t), { HOME: home });
  t.strictSame(readdirSync(home), []);
});

test('a file system that cannot be written to', async (t) => {
  if (!requires(t, ...MOUNT_TOOLS)) return;
  const launcher = install(t);
  await t.test('is read-only', async (t) => {
    await start(t, launcher, { HOME: mounted(t, 'tmpfs', 'ro,mode=755') });
  });
  await t.test('is full', async (t) => {
    const home = mounted(t, 'tmpfs', 'size=16k,mode=755');
    writeFileSync(join(home, 'data'), Buffer.alloc(12 * 1024));
    await start(t, launcher, { HOME: home });
    await start(t, launcher, { HOME: home });
  });
});
