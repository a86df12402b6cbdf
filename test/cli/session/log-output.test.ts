// stderr that is full, closed, or not read: a log that cannot be written stops no run and changes no exit status.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { command } from '../../helpers/command.ts';
import { FIXTURE_BUCKET, fixturePlan } from '../../helpers/fixture.ts';
import { gateBefore } from '../../helpers/gate.ts';
import { requires } from '../../helpers/requires.ts';
import { inShell } from '../../helpers/shell.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const BOTH = { rootdisk: 'restored', datadisk: 'restored' };
/** stderr is a pipe that is full and that no process will ever read; it stays open. */
const FULL_PIPE = 'mkfifo "$PIPE"; exec 9<>"$PIPE"; head -c 65536 /dev/zero >"$PIPE"; ';

test('stderr full, closed, without a reader, or full and not read: the restore and its result are complete', async (t) => {
  if (!requires(t, 'mkfifo')) return;
  for (const script of [
    '"$@" 2>/dev/full',
    '"$@" 2>&-',
    '"$@" 2> >(exec true)',
    `${FULL_PIPE}"$@" 2>"$PIPE" 9>&-`,
    `${FULL_PIPE}"$@" --log-level debug 2>"$PIPE"`,
  ]) {
    const plan = fixturePlan(t);
    const env = { PIPE: join(plan.folder, 'pipe') };
    const { status, stdout } = await inShell(script, ['restore', plan.path, '--output', 'json'], { env });
    t.equal(status, 0, script);
    t.match(JSON.parse(stdout), { result: 'ok', pvcs: [{ state: 'restored' }, { state: 'restored' }] });
    t.strictSame(plan.targets(), BOTH);
  }
});

test('the exit status of a failure stands without a log', async (t) => {
  const args = ['list', '--source', `${FIXTURE_BUCKET}/nope`, '--output', 'json'];
  const { status, stdout } = await inShell('"$@" 2>/dev/full', args);
  t.equal(status, 3);
  t.match(JSON.parse(stdout), { error: { code: 'OBJECT_MISSING' } });
  t.equal((await inShell('"$@" >/dev/full 2>/dev/full', args)).status, 3);
  t.equal((await inShell('"$@" >/dev/full 2>/dev/full', ['--version'])).status, 9);
});

test('a log on a disk that was full for a while reports at the end how many lines were lost', async (t) => {
  if (!requires(t, 'root', 'mount', 'umount', 'mkfifo')) return;
  for (const [format, warning] of [
    ['text', /\nwarning: \d+ lines of this log could not be written: ENOSPC: .*\n$/],
    ['json', /"level":"warn","event":"warning","message":"\d+ lines of this log could not be written: ENOSPC: .*"}\n$/],
  ] as const) {
    const folder = join(tempFolder(t), 'mnt');
    mkdirSync(folder);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
    t.teardown(() => execFileSync('umount', [folder]));
    const [log, ballast] = [join(folder, 'log'), join(folder, 'ballast')];
    execFileSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=60K', 'count=1', 'status=none']);
    // The last page is the log's: it is full as well.
    writeFileSync(log, Buffer.alloc(4096, '\n'));
    const plan = fixturePlan(t);
    const gate = gateBefore(t, '^convert.*datadisk');
    const args = ['restore', plan.path, '--log-format', format];
    const end = inShell('"$@" 2>>"$LOG"', args, { env: { ...gate.env, LOG: log } });
    await gate.reached();
    rmSync(ballast);
    gate.open();
    t.equal((await end).status, 0);
    t.strictSame(plan.targets(), BOTH);
    t.match(readFileSync(log, 'utf8'), warning);
  }
});

test('a log that is not read takes up a bounded amount of memory, and the exit does not wait for it', async (t) => {
  if (!requires(t, 'mkfifo')) return;
  const program = fileURLToPath(new URL('../../helpers/flood-log.ts', import.meta.url));
  const flood = ['env', '-u', 'NODE_OPTIONS', process.execPath, program, '3000', '200'];
  const env = { ...process.env, PIPE: join(tempFolder(t), 'pipe') };
  const unread = await command('bash', ['-c', `${FULL_PIPE}"$@" 2>"$PIPE"`, 'bash', ...flood], { env });
  const { pending, left, taken, lost } = JSON.parse(unread.stdout);
  t.ok(pending <= 256 * 1024, `${pending} bytes at most`);
  t.equal(taken, 0);
  t.equal(lost.lines * 1000 + left, 3000 * 1000, 'each line is either kept or counted');
  const read = await command('bash', ['-c', '"$@" 2> >(wc -c >&2)', 'bash', ...flood]);
  t.match(JSON.parse(read.stdout), { left: 0 });
});
