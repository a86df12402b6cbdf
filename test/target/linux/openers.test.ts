// Who has a device or a file open, while somebody else has a file open whose server does not answer.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { findOpeners } from '../../../src/target/linux/openers.ts';
import { MiB } from '../../../src/units.ts';
import { loopDevice } from '../../helpers/loop-device.ts';
import { requires } from '../../helpers/requires.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;

/** A process that has `path` open, and ends with the test. */
async function holding(t: Test, path: string, mode: '<' | '>>'): Promise<number> {
  const child = spawn('bash', ['-c', `exec 7${mode}"$0"; echo held; read -r`, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child.pid ?? Number.NaN;
}

/** A file of a FUSE file system whose server can be stopped. */
async function servedFile(t: Test): Promise<{ readonly path: string; readonly server: number }> {
  const folder = tempFolder(t);
  const [image, path] = [join(folder, 'image'), join(folder, 'served')];
  for (const file of [image, path]) writeFileSync(file, '');
  truncateSync(image, MiB);
  const child = spawn(
    'qemu-storage-daemon',
    [
      `--blockdev=driver=file,node-name=image,filename=${image}`,
      `--export=type=fuse,id=served,node-name=image,mountpoint=${path},writable=on`,
    ],
    { stdio: 'inherit' },
  );
  t.teardown(() => {
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    spawnSync('umount', ['-l', path]);
  });
  while (statSync(path).size !== MiB) await new Promise((resolve) => setTimeout(resolve, 20));
  return { path, server: child.pid ?? Number.NaN };
}

test('a file whose server is gone keeps nobody waiting', async (t) => {
  if (!requires(t, 'root', 'losetup', 'umount', 'qemu-storage-daemon', '/dev/fuse')) return;
  const { path, server } = await servedFile(t);
  const { dev, ino } = statSync(path, { bigint: true });
  const writer = await holding(t, path, '>>');
  t.match(await findOpeners({ file: { dev, ino } }, { signal }), [{ pid: writer, writes: true }], 'it is found itself');
  const device = loopDevice(t, { size: MiB });
  const other = join(tempFolder(t), 'file');
  writeFileSync(other, '');
  const [onDevice, onFile] = [await holding(t, device.path, '>>'), await holding(t, other, '>>')];
  process.kill(server, 'SIGSTOP');
  // Until the kernel no longer answers for it.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const module = fileURLToPath(new URL('../../../src/target/linux/openers.ts', import.meta.url));
  const number = readFileSync(`/sys/class/block/${device.path.replace('/dev/', '')}/dev`, 'utf8').trim();
  const info = statSync(other, { bigint: true });
  const script = `
    const { findOpeners } = await import(${JSON.stringify(module)});
    const signal = new AbortController().signal;
    const byDevice = await findOpeners({ devices: new Set(['${number}']) }, { signal });
    const byFile = await findOpeners({ file: { dev: ${info.dev}n, ino: ${info.ino}n } }, { signal });
    console.log(JSON.stringify([byDevice, byFile].map((found) => found.map(({ pid }) => pid))));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
  process.kill(server, 'SIGCONT');
  t.equal(child.stdout.trim(), JSON.stringify([[onDevice], [onFile]]), child.stderr);
});

test('a device by another name, anywhere, is found', async (t) => {
  if (!requires(t, 'root', 'losetup', 'mknod')) return;
  const device = loopDevice(t, { size: MiB });
  const [major = '', minor = ''] = readFileSync(`/sys/class/block/${device.path.replace('/dev/', '')}/dev`, 'utf8')
    .trim()
    .split(':');
  const node = join(tempFolder(t), 'node');
  execFileSync('mknod', [node, 'b', major, minor]);
  try {
    closeSync(openSync(node, 'r'));
  } catch {
    t.pass('skipped: this file system takes no devices', { skip: 'nodev' });
    return;
  }
  const pid = await holding(t, node, '>>');
  const found = await findOpeners({ devices: new Set([`${major}:${minor}`]) }, { signal });
  t.match(found, [{ pid, program: 'bash', writes: true }]);
});

test('a process with many descriptors keeps nothing else waiting', async (t) => {
  const path = join(tempFolder(t), 'file');
  writeFileSync(path, '');
  const { dev, ino } = statSync(path, { bigint: true });
  const many = 3_000;
  const script = `
    const { openSync } = require('node:fs');
    for (let count = 0; count < ${many}; count += 1) openSync('/dev/null', 'r');
    openSync(process.argv[1], 'a');
    console.log('held');
    process.stdin.resume();`;
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '-e', script, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns += 1;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  t.match(await findOpeners({ file: { dev, ino } }, { signal }), [{ pid: child.pid, writes: true }]);
  isDone = true;
  t.ok(turns > many / 300, `${turns} turns of the event loop for ${many} descriptors`);
});
