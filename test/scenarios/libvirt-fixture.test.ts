// A backup that libvirt wrote is listed, planned, verified, restored and served, without a warning, to the bytes that the
// machine's disks had.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Test, test } from 'tap';
import { STRATEGIES } from '../../src/strategy.ts';
import { sha256Of } from '../helpers/backup.ts';
import { mustRun } from '../helpers/command.ts';
import { type LibvirtFixture, libvirtFixture } from '../helpers/libvirt-fixture.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

/** The tips of its two chains: of four layers, and of a full after discards. */
const TIPS = ['backup-004', 'backup-005'];

/** Standard output of a command that ends well and warns of nothing. */
async function quiet(t: Test, args: readonly string[]): Promise<string> {
  const [command = ''] = args;
  const { exitCode, stdout, stderr } = await sharedCli(args, { env: { XDG_RUNTIME_DIR: join(tempFolder(t), 'run') } });
  t.equal(exitCode, 0, `${args.join(' ')}: ${stderr}`);
  t.notMatch(stdout + stderr, /warn/i, command);
  return stdout;
}

/** A plan of both disks onto files, as `plan` writes it. */
async function planOf(t: Test, { bucket, disks }: LibvirtFixture, backup: string) {
  const folder = tempFolder(t);
  const targets = new Map(disks.map((disk) => [disk, join(folder, `${disk}.raw`)]));
  const wanted = [...targets].flatMap(([disk, path]) => ['--pvc', `${disk}=${path}`]);
  const plan = join(folder, 'plan.yaml');
  writeFileSync(plan, await quiet(t, ['plan', '--source', bucket, '--vm', 'demo/web', '--backup', backup, ...wanted]));
  return { plan, targets, folder };
}

test('list names every backup and disk as restorable', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const { bucket, backups, disks } = libvirtFixture(t);
  const listed = JSON.parse(await quiet(t, ['list', '--source', bucket, '--output', 'json']));
  t.match(listed, { result: 'ok', problems: [] });
  const text = await quiet(t, ['list', '--source', bucket, '--vm', 'demo/web']);
  for (const name of [...backups, ...disks]) t.match(text, name);
  t.notMatch(text, /broken/);
});

test('verify finds both chains ok, their data read too', async (t) => {
  if (!requires(t, 'qemu-img')) return;
  const fixture = libvirtFixture(t);
  for (const backup of TIPS) {
    const { plan } = await planOf(t, fixture, backup);
    for (const data of [[], ['--data'], ['--data', '--scratch', tempFolder(t)]]) {
      const said = JSON.parse(await quiet(t, ['verify', plan, '--output', 'json', ...data]));
      t.match(said, { result: 'ok', pvcs: [{ verdict: 'ok' }, { verdict: 'ok' }] }, `${backup} ${data.join(' ')}`);
    }
  }
});

for (const strategy of STRATEGIES) {
  test(`${strategy} restores the disks`, async (t) => {
    if (!requires(t, 'qemu-img')) return;
    const fixture = libvirtFixture(t);
    for (const backup of ['backup-002', ...TIPS]) {
      const { plan, targets, folder } = await planOf(t, fixture, backup);
      const scratch = ['--scratch', join(folder, 'scratch')];
      const args = [...scratch, '--strategy', strategy, '--verify', 'compare', '--output', 'json'];
      t.match(JSON.parse(await quiet(t, ['restore', plan, ...args])), { result: 'ok' });
      for (const [disk, path] of targets)
        t.equal(await sha256Of(path), fixture.trueSha256(backup, disk), `${backup} ${disk}`);
    }
  });
}

test('serve shows each disk', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-nbd')) return;
  const fixture = libvirtFixture(t);
  const [backup = ''] = TIPS;
  const { plan, folder } = await planOf(t, fixture, backup);
  for (const disk of fixture.disks) {
    const env = { XDG_RUNTIME_DIR: join(folder, 'run') };
    const args = ['serve', plan, '--pvc', disk, '--socket', join(folder, `${disk}.sock`)];
    const { child, result } = startCli(args, { env });
    t.teardown(() => child.kill('SIGKILL'));
    if (child.stdout === null) throw new TypeError('stdout is no pipe');
    const [uri] = await once(createInterface({ input: child.stdout }), 'line');
    const copy = join(folder, `${disk}.copy`);
    await mustRun('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', String(uri), copy]);
    child.kill('SIGINT');
    const { exitCode, stderr } = await result;
    t.equal(exitCode, 0, stderr);
    t.notMatch(stderr, /warn/i);
    t.equal(await sha256Of(copy), fixture.trueSha256(backup, disk), disk);
  }
});
