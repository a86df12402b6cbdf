// Commands that are given a source in place of a plan: what they do is a plan all the same, with a name, and resumable.
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { mustRun } from '../helpers/command.ts';
import { FIXTURE_BUCKET } from '../helpers/fixture.ts';
import { gateBefore } from '../helpers/gate.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { startCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const SUMS = readFileSync(fileURLToPath(new URL('../../fixtures/SHA256SUMS', import.meta.url)), 'utf8');
const TOOLS = ['qemu-img', 'qemu-io', 'setpriv', 'sha256sum'] as const;
const SOURCE = [`--source=${FIXTURE_BUCKET}`, '--vm=demo/web'];

/** The disk at a checkpoint, or what the file is instead. */
async function stateOf(path: string, disk: string, checkpoint = 'cp-004'): Promise<string> {
  if (!existsSync(path)) return 'missing';
  const sum = (await mustRun('sha256sum', [path])).slice(0, 64);
  return SUMS.includes(`${sum}  ${checkpoint}/${disk}.raw`) ? 'restored' : 'wrong';
}

function places(t: Test) {
  const folder = tempFolder(t);
  const [root, data] = [join(folder, 'rootdisk.raw'), join(folder, 'datadisk.raw')];
  return { folder, root, data, scratch: `--scratch=${join(folder, 'scratch')}`, saved: join(folder, 'saved.yaml') };
}

test('restore from a source, all disks, then the plan that it saved', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const { root, data, scratch, saved } = places(t);
  const args = ['restore', ...SOURCE, `--pvc=rootdisk=${root}`, `--pvc=datadisk=${data}`, scratch];
  const json = ['--output=json', '--verify=compare', `--save-plan=${saved}`];

  const dry = await sharedCli([...args, '--dry-run', ...json]);
  t.equal(dry.exitCode, 0, dry.stderr);
  const ran = await sharedCli([...args, ...json]);
  t.equal(ran.exitCode, 0, ran.stderr);
  const document = JSON.parse(ran.stdout);
  t.match(document, { result: 'ok', planId: /^[0-9a-f]{16}$/, pvcs: [{ state: 'restored' }, { state: 'restored' }] });
  t.equal(JSON.parse(dry.stdout).planId, document.planId);
  t.match(ran.stderr, `plan ${document.planId}: 2 PVCs, backup backup-004`, 'an unnamed backup is named');
  t.equal(await stateOf(root, 'rootdisk'), 'restored');
  t.equal(await stateOf(data, 'datadisk'), 'restored');

  const again = await sharedCli(['restore', saved, scratch, '--output=json', '--force']);
  t.match(JSON.parse(again.stdout), { result: 'ok', planId: document.planId }, 'the saved plan is the plan');
});

test('an interrupted run is resumed by the same flags', async (t) => {
  if (!requires(t, ...TOOLS, 'mkfifo')) return;
  const { root, scratch } = places(t);
  const args = ['restore', ...SOURCE, '--backup=backup-003', `--pvc=rootdisk=${root}`, scratch, '--output=json'];
  const gate = gateBefore(t, '^rebase');
  const { child, result } = startCli(args, { env: gate.env });
  await gate.reached();
  child.kill('SIGTERM');
  const ended = await result;
  t.equal(ended.exitCode, 143, ended.stderr);
  t.match(JSON.parse(ended.stdout), { result: 'cancelled' });
  const again = await sharedCli(args);
  t.equal(again.exitCode, 0, again.stderr);
  t.match(JSON.parse(again.stdout), { pvcs: [{ state: 'restored', bytesFetched: 0 }] });
  t.equal(await stateOf(root, 'rootdisk', 'cp-003'), 'restored');
});

test('serve from a source', async (t) => {
  if (!requires(t, ...TOOLS, 'qemu-nbd')) return;
  const { folder, root } = places(t);
  const socket = join(folder, 'disk.sock');
  const args = ['serve', ...SOURCE, '--checkpoint=cp-002', '--pvc=rootdisk', `--socket=${socket}`];
  const { child, result } = startCli(args, { env: { XDG_RUNTIME_DIR: tempFolder(t) } });
  t.teardown(() => child.kill('SIGKILL'));
  await new Promise<void>((resolve) => child.stdout?.once('data', () => resolve()));
  await mustRun('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', `nbd+unix:///?socket=${socket}`, root]);
  t.equal(await stateOf(root, 'rootdisk', 'cp-002'), 'restored');
  child.kill('SIGINT');
  t.equal((await result).exitCode, 0);
});

test('what does not go together is refused, and nothing is written', async (t) => {
  if (!requires(t, ...TOOLS)) return;
  const { folder, root, scratch, saved } = places(t);
  const pvc = `--pvc=rootdisk=${root}`;
  const other = join(folder, 'other.yaml');
  writeFileSync(other, 'version: 1\n');
  const bucket = join(folder, 'bucket');
  cpSync(FIXTURE_BUCKET, bucket, { recursive: true });
  const cases: readonly (readonly [args: readonly string[], message: RegExp, hint: RegExp])[] = [
    [[], /no plan given/, /--source/],
    [[other, ...SOURCE, pvc], /--source, --vm cannot be combined with the plan .*other\.yaml/, /remove the plan/],
    [[other, `--save-plan=${saved}`], /--save-plan cannot be combined/, /remove/],
    [[...SOURCE, '--pvc', 'rootdisk', root], /cannot be combined with the plan .*rootdisk\.raw/, /--pvc NAME=TARGET/],
    [['--vm=demo/web', pvc], /no source given/, /--source/],
    [[`--source=${FIXTURE_BUCKET}`, pvc], /no VM given/, /--vm/],
    [SOURCE, /no target given for rootdisk, datadisk/, /--pvc rootdisk=TARGET --pvc datadisk=TARGET/],
    [[...SOURCE, '--pvc=rootdisk'], /no target given for rootdisk/, /--pvc rootdisk=TARGET/],
    [[...SOURCE, '--pvc==x'], /invalid --pvc =x/, /NAME=TARGET/],
    [[...SOURCE, pvc, `--save-plan=${other}`], /exists and holds something else/, /restore .*other\.yaml/],
    [[...SOURCE, pvc, `--save-plan=${folder}/none/plan.yaml`], /cannot be saved/, /existing directory/],
    [
      [`--source=${bucket}`, '--vm=demo/web', pvc, `--save-plan=${bucket}/plan.yaml`],
      /saved plan .*plan\.yaml is inside .*bucket/,
      /--save-plan/,
    ],
  ];
  for (const [args, message, hint] of cases) {
    const ran = await sharedCli(['restore', ...args, scratch, '--output=json']);
    t.equal(ran.exitCode, 2, `${args.join(' ')}: ${ran.stderr}`);
    const { error } = JSON.parse(ran.stdout);
    t.match(error, { code: 'USAGE', message, hint }, args.join(' '));
  }
  t.equal(await stateOf(root, 'rootdisk'), 'missing');
  t.notOk(existsSync(saved));
  t.notOk(existsSync(join(bucket, 'plan.yaml')));
  t.equal(readFileSync(other, 'utf8'), 'version: 1\n');
});
