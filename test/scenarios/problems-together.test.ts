// Every problem is reported in one run: whatever is wrong with the command line, the plan, the source, the targets, scratch and the
// tools, in the order of the plan.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { placeholderTarget } from '../../src/plan/placeholder.ts';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, planFor } from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { type ResidentCli, sharedCli } from '../helpers/resident-cli.ts';
import { scratchOf } from '../helpers/restore.ts';
import { runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const SIZE = 8 * MiB;
const BACKUP = 'backup-002';

async function backupOf(t: Test, ...names: [string, ...string[]]): Promise<BackupForTest> {
  const [first, ...others] = names.map((name) => ({ name, size: SIZE }));
  if (first === undefined) throw new TypeError('no disk');
  return await madeBackup(t, { disks: [first, ...others], checkpoints: 2 });
}

const schema = z.looseObject({
  result: z.literal('failed'),
  error: z.looseObject({ code: z.string(), message: z.string() }),
  problems: z.array(
    z.looseObject({ pvc: z.string().optional(), code: z.string(), message: z.string(), hint: z.string() }),
  ),
});

interface Together {
  /** `a TARGET_MISSING`, or the code alone. */
  readonly codes: readonly string[];
  readonly exitCode: number | null;
  readonly problems: z.infer<typeof schema>['problems'];
}

/** Runs the program, which must fail with a document whose first problem is its error. */
async function together(
  t: Test,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cli: ResidentCli = sharedCli,
): Promise<Together> {
  const { exitCode, stdout, stderr } = await cli([...args, '--output', 'json'], { env });
  const { error, problems } = schema.parse(JSON.parse(stdout));
  t.equal(error.message, problems[0]?.message, 'the error is the first problem');
  for (const { message, hint } of problems) {
    t.match(stderr, message);
    t.not(hint, '');
  }
  const codes = problems.map(({ pvc, code }) => (pvc === undefined ? code : `${pvc} ${code}`));
  return { codes, exitCode, problems };
}

/** A PATH of links to the tools that are named. */
function onlyTools(t: Test, ...tools: string[]): string {
  const folder = tempFolder(t);
  for (const tool of ['env', 'cat', ...tools]) {
    symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), join(folder, tool));
  }
  return folder;
}

async function takenPort(t: Test): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not listening on a port');
  return address.port;
}

const RUNS = [[], ['--dry-run']] as const;

test('placeholders, and no scratch', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t, 'a', 'b');
  const plan = await planFor(
    made,
    BACKUP,
    { a: placeholderTarget('a'), b: placeholderTarget('b') },
    { edit: withoutScratch },
  );
  for (const flags of RUNS) {
    const { codes, exitCode } = await together(t, ['restore', plan, ...flags]);
    t.strictSame(codes, ['a PLAN_INVALID', 'b PLAN_INVALID', 'USAGE']);
    t.equal(exitCode, 2);
  }
});

function withoutScratch(document: { scratch?: object }): void {
  delete document.scratch;
}

test('a PVC has all of its problems', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await backupOf(t, 'a', 'b', 'c');
  const device = loopDevice(t, { size: SIZE - MiB, fill: 1 });
  const targets = { a: placeholderTarget('a'), b: device.path, c: made.folder };
  const plan = await planFor(made, BACKUP, targets, {
    edit: ({ pvcs }) => {
      Object.assign(pvcs[1] ?? {}, { size: SIZE - 512 });
      Object.assign(pvcs[2]?.chain?.[1] ?? {}, { size: 12_345 });
    },
  });
  rmSync(made.checkpoints[1]?.layers[0]?.path ?? '');
  for (const flags of RUNS) {
    const { codes, problems } = await together(t, ['restore', plan, ...flags]);
    t.strictSame(codes, [
      'a PLAN_INVALID',
      'a OBJECT_MISSING',
      'b TARGET_TOO_SMALL',
      'b TARGET_TOO_SMALL',
      'b TARGET_NOT_BLANK',
      'c SIZE_MISMATCH',
      'c TARGET_MISSING',
    ]);
    t.match(problems[2], { message: /declared size too small/ });
    t.match(problems[3], { message: device.path });
  }
  t.strictSame(scratchOf(made), []);
});

test('the command line, the plan, scratch and the tools', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t, 'a', 'b');
  const [one, link] = [join(made.folder, 'one.raw'), join(made.folder, 'link')];
  symlinkSync(made.folder, link);
  const file = join(made.folder, 'file');
  writeFileSync(file, '');
  const plan = await planFor(made, BACKUP, { a: one, b: join(link, 'one.raw') });
  const PATH = onlyTools(t, 'setpriv', 'prlimit', 'flock');
  const port = String(await takenPort(t));
  const wrong = ['--window', '64Mi', '--report', join(file, 'report'), '--metrics-port', port, '--scratch', file];
  for (const flags of RUNS) {
    const { codes, exitCode } = await together(t, ['restore', plan, ...wrong, ...flags], { PATH });
    t.strictSame(codes, ['b PLAN_INVALID', 'USAGE', 'USAGE', 'LISTEN_FAILED', 'SCRATCH_UNUSABLE', 'TOOL_MISSING']);
    t.equal(exitCode, 2);
  }
  const unknown = await together(t, ['restore', plan, '--pvc', 'a', '--pvc', 'x', '--scratch', file]);
  t.strictSame(unknown.codes, ['b PLAN_INVALID', 'USAGE', 'SCRATCH_UNUSABLE']);
  writeFileSync(plan, 'version: 2\n');
  const invalid = await together(t, ['restore', plan, ...wrong]);
  t.strictSame(invalid.codes.slice(0, 2), ['USAGE', 'USAGE'], 'a plan that cannot be read is one problem of several');
  t.match(invalid.codes.at(-1), 'PLAN_INVALID');
});

test('all tools that are missing', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await backupOf(t, 'a');
  const device = loopDevice(t, { size: SIZE });
  const plan = await planFor(made, BACKUP, { a: device.path });
  const tools = async (...present: string[]) => {
    const { problems } = await together(t, ['restore', plan], { PATH: onlyTools(t, ...present) });
    return problems.map(({ code, message }) => `${code} ${/^[a-z-]+/.exec(message)?.[0]}`);
  };
  t.strictSame(await tools('setpriv', 'prlimit', 'flock'), ['TOOL_MISSING qemu-img', 'TOOL_MISSING qemu-io']);
  const none = await tools();
  for (const name of ['flock', 'setpriv', 'prlimit', 'qemu-img', 'qemu-io']) {
    t.ok(none.includes(`TOOL_MISSING ${name}`), `${name}: ${none.join(', ')}`);
  }
});

test('a source that cannot be used hides nothing else', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup')) return;
  const made = await backupOf(t, 'a', 'b', 'c');
  const file = join(made.folder, 'file');
  writeFileSync(file, '');
  const PATH = onlyTools(t, 'setpriv', 'prlimit', 'flock', 'qemu-img');
  for (const [name, source, code] of [
    ['a server that does not answer', { s3: { bucket: 'b', endpoint: 'http://127.0.0.1:1' } }, 'SOURCE_UNREACHABLE'],
    ['a directory that is missing', { directory: join(made.folder, 'nowhere') }, 'OBJECT_MISSING'],
    [
      'files that are missing',
      { s3: { bucket: 'b', region: 'us-east-1', caFile: '/no/ca', sseCustomerKeyFile: '/no/key' } },
      'PLAN_INVALID',
    ],
  ] as const) {
    await t.test(name, async (t) => {
      const env = { PATH, AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' };
      const expected = [
        'a TARGET_MISSING',
        'b TARGET_NOT_BLANK',
        'c PLAN_INVALID',
        ...Array.from({ length: code === 'PLAN_INVALID' ? 2 : 1 }, () => code),
        'SCRATCH_UNUSABLE',
        'TOOL_MISSING',
      ];
      const ofSource = expected.filter((one) => one === code);
      // Those that wait for the source as long as a restore does run at the same time. Two restores would meet at one device.
      const cli = code === 'SOURCE_UNREACHABLE' ? runCli : sharedCli;
      await Promise.all(
        (['written', 'looked-up'] as const).map(async (chains) => {
          const device = loopDevice(t, { size: SIZE, fill: 1 });
          const targets = { a: '/dev/nope', b: device.path, c: placeholderTarget('c') };
          const plan = await planFor(made, BACKUP, targets, {
            chains,
            edit: (document) => Object.assign(document, { source }),
          });
          const restores = async (): Promise<void> => {
            for (const flags of RUNS) {
              const { codes } = await together(t, ['restore', plan, '--scratch', file, ...flags], env, cli);
              t.strictSame(codes, expected, `${chains} ${flags.join(' ')}`);
            }
          };
          const serves = async (): Promise<void> => {
            const { codes } = await together(t, ['serve', plan, '--socket', file, '--pvc', 'a'], env, cli);
            t.strictSame(codes, ['LISTEN_FAILED', ...ofSource, 'TOOL_MISSING']);
          };
          const verifies = async (): Promise<void> => {
            const flags = ['--data', '--scratch', file, '--pvc', 'a', '--pvc', 'd'];
            const fewer = { ...env, PATH: onlyTools(t, 'setpriv', 'prlimit', 'flock') };
            const { codes } = await together(t, ['verify', plan, ...flags], fewer, cli);
            t.strictSame(codes, ['USAGE', ...ofSource, 'TOOL_MISSING', 'SCRATCH_UNUSABLE']);
          };
          await Promise.all([restores(), serves(), verifies()]);
        }),
      );
    });
  }
});

test('sizes that the plan declares are enough to find scratch too small', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'mount')) return;
  const made = await backupOf(t, 'a');
  const small = join(made.folder, 'small');
  mkdirSync(small);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', small]);
  t.teardown(() => execFileSync('umount', [small]));
  const edit = (document: object): void => void Object.assign(document, { source: { directory: '/nowhere' } });
  const plan = await planFor(made, BACKUP, { a: '/dev/nope' }, { scratch: small, edit });
  const { codes } = await together(t, ['restore', plan]);
  t.strictSame(codes, ['a TARGET_MISSING', 'OBJECT_MISSING', 'SCRATCH_FULL']);
});

test('what an earlier run of the plan left is no problem while the source is away', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup', 'mkfifo')) return;
  const made = await backupOf(t, 'a', 'b');
  const [first, second] = [loopDevice(t, { size: SIZE }), loopDevice(t, { size: SIZE })];
  const plan = await planFor(made, BACKUP, { a: first.path, b: second.path });
  const gate = gateBefore(t, '^convert.*03/0|^convert', { nth: 4 });
  const run = watchRestore(t, plan, [], { env: gate.env });
  await run.until('the second convert', ({ event, pvc, phase }) => {
    return event === 'phase-started' && pvc === 'b' && phase === 'convert';
  });
  await gate.reached();
  run.child.kill('SIGKILL');
  if (run.child.exitCode === null && run.child.signalCode === null) await once(run.child, 'exit');
  renameSync(made.directory, `${made.directory}-away`);
  t.strictSame((await together(t, ['restore', plan])).codes, ['OBJECT_MISSING']);
  t.strictSame((await together(t, ['restore', plan, '--dry-run'])).codes, ['OBJECT_MISSING']);
});

test('another run of the plan is an answer by itself', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'mkfifo')) return;
  const made = await backupOf(t, 'a');
  const plan = await planFor(made, BACKUP, { a: join(made.folder, 'a.raw') });
  const gate = gateBefore(t, '^rebase');
  const run = watchRestore(t, plan, [], { env: gate.env });
  await gate.reached();
  for (const flags of RUNS) {
    const { codes } = await together(t, ['restore', plan, '--window', '64Mi', ...flags]);
    t.strictSame(codes, ['SCRATCH_BUSY']);
  }
  gate.open();
  t.equal((await run.end).exitCode, 0);
});

test('download, with an environment that is incomplete and with a source that is away', async (t) => {
  const flags = ['--window', '64Mi'];
  const none = await together(t, ['download', ...flags], { KUBEVIRT_DM_VM_NAME: 'web' });
  t.match(none.problems[0], { code: 'USAGE', message: /--window/ });
  t.match(none.problems[1], { code: 'USAGE', message: /KUBEVIRT_DM_BSL_PROVIDER is not set/ });
  t.ok(none.codes.length > 4);
  const file = join(tempFolder(t), 'file');
  writeFileSync(file, '');
  const { codes } = await together(t, ['download', ...flags], {
    KUBEVIRT_DM_BSL_PROVIDER: 'aws',
    KUBEVIRT_DM_BSL_BUCKET: 'b',
    KUBEVIRT_DM_BSL_S3_URL: 'http://127.0.0.1:1',
    KUBEVIRT_DM_VM_NAME: 'web',
    KUBEVIRT_DM_VM_NAMESPACE: 'demo',
    KUBEVIRT_DM_VELERO_BACKUP_NAME: BACKUP,
    KUBEVIRT_DM_TARGET_VOLUME: 'a',
    KUBEVIRT_DM_TARGET_PATH: '/dev/nope',
    KUBEVIRT_DM_SCRATCH_PATH: file,
    AWS_ACCESS_KEY_ID: 'x',
    AWS_SECRET_ACCESS_KEY: 'y',
  });
  t.strictSame(codes, ['a TARGET_MISSING', 'USAGE', 'SOURCE_UNREACHABLE', 'SCRATCH_UNUSABLE']);
});

test('manifest and plan', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await backupOf(t, 'a');
  const plan = await planFor(made, BACKUP, { a: placeholderTarget('a') });
  const claim = ['--scratch-pvc', 'x', '--scratch-size', '1Gi'];
  const { codes } = await together(t, ['manifest', plan, '--image', 'i', ...claim, '--target-pvc', 'b=c']);
  t.strictSame(
    codes.toSorted(),
    ['PLAN_INVALID', 'USAGE', 'USAGE', 'a PLAN_INVALID'],
    'a folder is no source for pods',
  );
  t.strictSame((await together(t, ['plan'])).codes, ['USAGE', 'USAGE']);
});
