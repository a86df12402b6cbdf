// A terminal that hangs up: a restore whose log goes to it stops gracefully, one whose log goes elsewhere continues.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { MiB } from '../../../src/units.ts';
import { fixturePlan } from '../../helpers/fixture.ts';
import { HELD_IN_TERMINAL_TOOLS, heldInTerminal } from '../../helpers/held-in-terminal.ts';
import { loopDevice } from '../../helpers/loop-device.ts';
import { requires } from '../../helpers/requires.ts';
import { headOf } from '../../helpers/strike.ts';
import { startInTerminal, TERMINAL_TOOLS } from '../../helpers/terminal.ts';

const BOTH = { rootdisk: 'restored', datadisk: 'restored' };

test('the log goes to the terminal that hung up: CANCELLED, exit 129, and it can be resumed', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  for (const on of [['stdin', 'stderr'], ['stderr']] as const) {
    const { run, plan } = await heldInTerminal(t, { on, args: ['--output', 'json'] });
    await run.hangUp();
    const { exitCode, stdout } = await run.end;
    t.equal(exitCode, 129);
    t.match(JSON.parse(stdout), {
      result: 'cancelled',
      pvcs: [{ state: 'restored' }, { state: 'failed' }],
      error: { code: 'CANCELLED', message: 'cancelled by SIGHUP', hint: /the same command/ },
    });
    t.strictSame(plan.targets(), { rootdisk: 'restored', datadisk: 'missing' });
    t.ok(existsSync(plan.scratch), 'what was fetched is kept');
  }
});

test('the claim block on a device is wiped after a hang-up', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS, 'root', 'losetup')) return;
  const device = loopDevice(t, { size: 32 * MiB });
  const { run } = await heldInTerminal(t, { plan: fixturePlan(t, ['datadisk'], { datadisk: device.path }) });
  t.equal(headOf(device), 'claim');
  await run.hangUp();
  t.equal((await run.end).exitCode, 129);
  t.equal(headOf(device), 'blank');
});

test('the kernel, a shell and systemd send several signals at once: the run still stops gracefully', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  for (const names of [
    ['SIGHUP', 'SIGHUP', 'SIGHUP'],
    ['SIGTERM', 'SIGHUP'],
    ['SIGHUP', 'SIGTERM', 'SIGHUP'],
  ] as const) {
    const { run, plan } = await heldInTerminal(t, { args: ['--output', 'json'] });
    for (const name of names) await run.signal(name);
    const { exitCode, stdout } = await run.end;
    // Of signals that wait together the kernel delivers the lowest first.
    t.ok(exitCode === 129 || exitCode === 143, `${names.join(' ')}: ${exitCode}`);
    t.match(JSON.parse(stdout), { result: 'cancelled' }, 'the document is printed');
    t.ok(existsSync(plan.scratch));
  }
});

test('the log goes to a file or a pipe: the restore continues, whatever else was on the terminal', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  for (const on of [['stdin'], []] as const) {
    const { run, plan, gate } = await heldInTerminal(t, { on });
    await run.hangUp();
    await run.signal('SIGHUP');
    gate.open();
    const { exitCode, stdout } = await run.end;
    t.equal(exitCode, 0);
    t.match(stdout, /2 of 2 PVCs restored/);
    t.strictSame(plan.targets(), BOTH);
  }
});

test('nohup: the restore continues, with its log and its result in nohup.out', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS, 'nohup')) return;
  const cwd = fixturePlan(t).folder;
  const { run, plan, gate } = await heldInTerminal(t, {
    on: ['stdin', 'stdout', 'stderr'],
    through: ['env', '-C', cwd, 'nohup'],
  });
  await run.hangUp();
  await run.signal('SIGHUP');
  gate.open();
  t.equal((await run.end).exitCode, 0);
  t.strictSame(plan.targets(), BOTH);
  t.match(readFileSync(join(cwd, 'nohup.out'), 'utf8'), /datadisk: convert(.|\n)*2 of 2 PVCs restored/);
});

test('setsid, disown: no signal comes, the log is lost, and the restore continues', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS, 'setsid')) return;
  const { run, plan, gate } = await heldInTerminal(t, { through: ['setsid', '--wait'] });
  await run.hangUp();
  gate.open();
  // setsid, which waits for it, is ended by the hang-up; how the program ended is seen in what it left.
  const { stdout } = await run.end;
  t.match(stdout, /2 of 2 PVCs restored/);
  t.strictSame(plan.targets(), BOTH);
});

test('stdout is the terminal that hung up, the log goes to a pipe: complete, and exit 9', async (t) => {
  if (!requires(t, ...HELD_IN_TERMINAL_TOOLS)) return;
  const { run, plan, gate } = await heldInTerminal(t, { on: ['stdin', 'stdout'] });
  await run.hangUp();
  gate.open();
  const { exitCode, stderr } = await run.end;
  t.equal(exitCode, 9);
  t.match(stderr, /error OUTPUT_FAILED: stdout: writing the result failed: EIO.*; 2 of 2 PVCs restored\n/);
  t.strictSame(plan.targets(), BOTH);
});

test('serve on a terminal that hung up: exit 0, the socket removed', async (t) => {
  if (!requires(t, ...TERMINAL_TOOLS, 'qemu-nbd')) return;
  const plan = fixturePlan(t, ['rootdisk']);
  const socket = join(plan.folder, 'disk.sock');
  const run = startInTerminal(t, ['serve', plan.path, '--socket', socket]);
  await run.until((screen) => screen.includes('docs/recipes.md'));
  await run.hangUp();
  t.equal((await run.end).exitCode, 0);
  t.notOk(existsSync(socket));
});
