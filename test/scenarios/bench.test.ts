// scripts/bench works: every contender restores the same disks. How long they take is looked at by people, never asserted.
import { execFileSync } from 'node:child_process';
import { constants, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { z } from 'zod';
import { CASES } from '../../scripts/lib/bench/arguments.ts';
import { withServer } from '../../scripts/lib/bench/server.ts';
import { command } from '../helpers/command.ts';
import { requires } from '../helpers/requires.ts';
import { cleanEnvironment, programPath } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BENCH = fileURLToPath(new URL('../../scripts/lib/bench/main.ts', import.meta.url));
const TOOLS = [
  'root',
  'qemu-img',
  'qemu-storage-daemon',
  'losetup',
  'nginx',
  'nbdkit',
  'curl',
  'openssl',
  'rclone',
  'setpriv',
] as const;

const sampleSchema = z.object({ seconds: z.number().positive(), fetched: z.number(), scratch: z.number() });
const rowsSchema = z.array(z.object({ contender: z.string(), identical: z.boolean(), median: sampleSchema }));
const reportSchema = z.object({
  version: z.literal(1),
  cases: z.array(z.object({ name: z.string(), size: z.number(), rows: rowsSchema })),
  growth: z.array(z.object({ name: z.string(), points: z.array(z.object({ label: z.string(), rows: rowsSchema })) })),
  list: z.object({ points: z.array(z.object({ vms: z.number() })).min(2) }),
  skipped: z.array(z.string()),
});

test('no socket of the server blocks it', async (t) => {
  if (!requires(t, 'nginx', 'python3', 'openssl', 'setpriv')) return;
  const folder = join(tempFolder(t), 'nginx');
  await withServer({ root: tempFolder(t), folder, signal: new AbortController().signal }, async () => {
    const own = `/proc/${readFileSync(join(folder, 'nginx.pid'), 'utf8').trim()}`;
    const sockets = readdirSync(`${own}/fd`).filter((fd) => readlinkSync(`${own}/fd/${fd}`).startsWith('socket:'));
    t.ok(sockets.length >= 3, 'the ports');
    for (const fd of sockets) {
      const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`${own}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
      t.ok(Number.parseInt(flags, 8) & constants.O_NONBLOCK, `descriptor ${fd}: flags ${flags}`);
    }
  });
});

test('a small run measures every case, and every contender restores the true disk', async (t) => {
  if (!requires(t, ...TOOLS, '/usr/bin/time')) return;
  const work = join(tempFolder(t), 'work');
  mkdirSync(work);
  const program = `${process.execPath} ${programPath()}`;
  const args = ['--small', '--rounds', '1', '--size', '24Mi', '--work', work, '--program', program, '--output', 'json'];
  // Under tap `spawn` puts tap's loader into NODE_OPTIONS of every child; env(1) takes it out.
  const bench = ['-u', 'NODE_OPTIONS', process.execPath, BENCH, ...args];
  const { status, stdout, stderr } = await command('env', bench, { env: cleanEnvironment() });
  if (!t.equal(status, 0, `exit status; ${stderr}`)) return;
  const report = reportSchema.parse(JSON.parse(stdout));
  t.equal(report.cases.length + report.growth.length + report.skipped.length, CASES.length - 1, 'no case is forgotten');
  for (const { name, rows } of report.cases) checkRows(name, rows);
  for (const { name, points } of report.growth)
    for (const { label, rows } of points) checkRows(`${name} ${label}`, rows);

  const fast = report.cases.find(({ name }) => name === 'fast');
  const fetched = (contender: string): number => {
    return fast?.rows.find((row) => row.contender === contender)?.median.fetched ?? 0;
  };
  t.equal(fetched('reference'), fast?.size, 'the server counts what is fetched');
  // Headers are read before the layers, listings and documents are fetched by rclone.
  for (const contender of ['staged', 'rclone']) t.ok(fetched(contender) >= (fast?.size ?? Infinity), contender);

  t.strictSame(readdirSync(work), [], 'nothing is left');
  t.notMatch(execFileSync('losetup', ['--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' }), work);
  t.notMatch(execFileSync('cat', ['/proc/mounts'], { encoding: 'utf8' }), work);

  function checkRows(place: string, rows: z.infer<typeof rowsSchema>): void {
    t.equal(rows[0]?.contender, 'reference', `${place} has its reference`);
    t.ok(rows.length >= 2, `${place} has somebody to compare it with`);
    for (const { contender, identical } of rows) t.ok(identical, `${place}: ${contender} restored the true disk`);
  }
});
