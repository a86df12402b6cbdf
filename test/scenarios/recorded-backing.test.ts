// The backing file that libvirt records in every incremental is never opened, by no command, also when it exists.
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'tap';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, madeBackup, planFor, truthOf } from '../helpers/backup.ts';
import { qemu } from '../helpers/chain.ts';
import { mustRun } from '../helpers/command.ts';
import { requires } from '../helpers/requires.ts';
import { cleanEnvironment, programPath } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BACKUP = 'backup-003';
const DISK = 'rootdisk';

test('no command opens what a header names', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'strace', 'qemu-nbd')) return;
  const folder = tempFolder(t);
  const backing = join(folder, 'cbt', `${DISK}.qcow2`);
  mkdirSync(dirname(backing));
  qemu('qemu-img', 'create', '-q', '-f', 'qcow2', backing, '8M');
  qemu('qemu-io', '-f', 'qcow2', '-c', 'write -q -P 90 0 8M', backing);
  const disk = { name: DISK, size: 8 * MiB, backing };
  const made = await madeBackup(t, { disks: [disk], checkpoints: 3 });
  const target = join(folder, 'disk.raw');
  const plan = await planFor(made, BACKUP, { [DISK]: target });
  const unscratched = await planFor(made, BACKUP, { [DISK]: target }, { edit: (document) => delete document.scratch });
  const truth = truthOf(made, BACKUP, DISK);
  const socket = join(folder, 'disk.sock');
  // Traced with what reads the served disk, until serve is stopped.
  const serve = `coproc serve { exec "$@"; }; read -r uri <&\${serve[0]}; qemu-img convert -f raw -O raw "$uri" ${target}; kill -INT $serve_PID; wait $serve_PID`;
  const commands: Record<string, readonly string[]> = {
    plan: ['plan', '--source', made.directory, '--vm', 'demo/web', '--backup', BACKUP],
    verify: ['verify', plan],
    'verify --data': ['verify', plan, '--data'],
    'verify --data in memory': ['verify', unscratched, '--data'],
    staged: ['restore', plan, '--force', '--strategy', 'staged', '--verify', 'compare'],
    'staged-raw': ['restore', plan, '--force', '--strategy', 'staged-raw', '--verify', 'compare'],
    stream: ['restore', plan, '--force', '--strategy', 'stream', '--verify', 'compare'],
    serve: ['serve', plan, '--socket', socket],
  };
  for (const [name, args] of Object.entries(commands)) {
    await t.test(name, async (t) => {
      const trace = join(tempFolder(t), 'trace');
      const strace = ['-f', '--seccomp-bpf', '-qq', '-s', '4096', '-e', 'trace=open,openat,openat2', '-o', trace];
      const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, programPath(), ...args];
      const traced = name === 'serve' ? ['bash', '-c', serve, 'bash', ...program] : program;
      await mustRun('strace', [...strace, ...traced], {
        env: cleanEnvironment({ XDG_RUNTIME_DIR: join(folder, 'run') }),
      });
      const opened = readFileSync(trace, 'utf8');
      t.match(opened, /\.qcow2/, 'the trace shows what is opened');
      t.notOk(opened.includes(backing), 'what the incrementals name is not among it');
      if (args[0] === 'restore' || name === 'serve')
        t.equal(await difference(target, truth), undefined, 'the true disk');
    });
  }
});
