// From a bucket to a restored disk by the command line alone: list, plan, verify, restore; their text and their JSON.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { requires } from '../../helpers/requires.ts';
import { sharedCli } from '../../helpers/resident-cli.ts';
import { startCli } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url));
const bucket = join(fixtures, 'bucket');
const VM = ['--source', bucket, '--vm', 'demo/web'];

/** The true disk's sum at a checkpoint. */
function trueSum(name: RegExp): string {
  const line = readFileSync(join(fixtures, 'SHA256SUMS'), 'utf8')
    .split('\n')
    .find((each) => name.test(each));
  return line?.split(' ')[0] ?? 'not in SHA256SUMS';
}

function sumOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

async function writePlanFile(
  t: Test,
  folder: string,
  pvcs: readonly string[],
  more: readonly string[] = [],
): Promise<string> {
  const { stdout, stderr, exitCode } = await sharedCli([
    'plan',
    ...VM,
    ...pvcs.flatMap((pvc) => ['--pvc', pvc]),
    ...more,
  ]);
  t.equal(exitCode, 0, stderr);
  const path = join(folder, 'plan.yaml');
  writeFileSync(path, stdout);
  return path;
}

test('list, plan, dry run, restore, verify: what the help tells a newcomer to type', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv')) return;
  const folder = tempFolder(t);
  const listed = await sharedCli(['list', '--source', bucket]);
  t.equal(listed.exitCode, 0);
  t.match(listed.stdout, /^BACKUP +AGE +VM +CHECKPOINT\nbackup-001 +\d+ d +demo\/web +cp-001\n/);
  t.match(listed.stdout, /\ndemo\/web +rootdisk +cp-001 +full +736 KiB +\d+ d +restorable\n/);

  const targets = ['rootdisk', 'datadisk'].map((name) => join(folder, `${name}.raw`));
  const plan = await writePlanFile(t, folder, [`rootdisk=${targets[0]}`, `datadisk=${targets[1]}`]);
  const scratch = ['--scratch', join(folder, 'scratch')];
  const dry = await sharedCli(['restore', plan, ...scratch, '--dry-run']);
  t.equal(dry.exitCode, 0, dry.stderr);
  t.match(dry.stdout, /^PVC +TARGET +LAYERS +SIZE +STRATEGY\nrootdisk .* 4 +64\.0 MiB +staged\n/);
  t.match(dry.stdout, /\nto fetch: .*\nscratch: .* needed, .* free\nall checks passed; nothing was written/);
  t.notOk(targets.some((path) => existsSync(path)));

  const restored = await sharedCli(['restore', plan, ...scratch, '--verify', 'compare']);
  t.equal(restored.exitCode, 0, restored.stderr);
  t.match(
    restored.stdout,
    /^PVC +TARGET +STATE +SIZE +FETCHED +TIME +VERIFIED\nrootdisk .* restored +64\.0 MiB .* yes\n/,
  );
  t.match(restored.stdout, /\n2 of 2 PVCs restored in [\d.]+ s\n$/);
  t.match(
    restored.stderr,
    /^run [\da-f-]{36}\npreflight\nrootdisk \(1 of 2\): 4 layers, 64\.0 MiB, onto .*\nrootdisk: download /,
  );
  t.equal(sumOf(targets[0] ?? ''), trueSum(/cp-004.*rootdisk|rootdisk.*cp-004/));
  t.equal(sumOf(targets[1] ?? ''), trueSum(/cp-004.*datadisk|datadisk.*cp-004/));

  const verified = await sharedCli(['verify', plan, '--data', ...scratch]);
  t.equal(verified.exitCode, 0, verified.stderr);
  t.match(verified.stdout, /^PVC +VERDICT +LAYERS +SIZE\nrootdisk +ok +4 +[\d.]+ MiB\n/);
});

test('the same with --output json: one document each', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv')) return;
  const folder = tempFolder(t);
  const target = join(folder, 'data.img');
  const json = async (
    args: readonly string[],
    stdin = '',
  ): Promise<{ exitCode: number | null; document: ReturnType<typeof JSON.parse>; text: string }> => {
    const { stdout, exitCode } = await sharedCli([...args, '--output', 'json'], { stdin });
    return { exitCode, document: JSON.parse(stdout), text: stdout };
  };
  const listed = await json(['list', ...VM]);
  t.match(listed.document, { version: 1, result: 'ok', vms: [{ namespace: 'demo', name: 'web' }], problems: [] });
  const planned = await json(['plan', ...VM, '--pvc', `datadisk=${target}`]);
  t.match(planned.document, { version: 1, source: { directory: bucket }, vm: 'demo/web', pvcs: [{ target }] });
  const report = join(folder, 'report.json');
  const args = ['restore', '-', '--scratch', join(folder, 's'), '--report', report];
  const restored = await json(args, planned.text);
  t.equal(restored.exitCode, 0);
  t.match(restored.document, {
    version: 1,
    result: 'ok',
    pvcs: [{ name: 'datadisk', target, state: 'restored', strategy: 'staged' }],
  });
  t.equal(readFileSync(report, 'utf8'), restored.text);
  const again = await json(args, planned.text);
  t.equal(again.exitCode, 6);
  t.match(again.document, {
    result: 'failed',
    pvcs: [{ state: 'failed' }],
    error: { code: 'TARGET_NOT_BLANK', hint: /--force/ },
  });
  const verified = await json(['verify', '-'], planned.text);
  t.match(verified.document, {
    version: 1,
    result: 'ok',
    pvcs: [{ name: 'datadisk', verdict: 'ok', problems: [] }],
  });
});

test('list says how it ended, as every document does', async (t) => {
  const folder = tempFolder(t);
  cpSync(bucket, folder, { recursive: true });
  rmSync(join(folder, 'checkpoints/demo/web/index.json'));
  const list = ['list', '--output', 'json', '--source'];
  for (const [args, code, vms] of [
    [[...list, folder], 'OBJECT_MISSING', 1],
    [[...list, join(folder, 'none')], 'OBJECT_MISSING', 0],
    [[...list, folder, '--vm', 'demo/none'], 'BACKUP_NOT_FOUND', 0],
    [[...list, folder, '--vm', 'demo'], 'USAGE', 0],
  ] as const) {
    const { exitCode, stdout } = await sharedCli(args);
    const { result, vms: listed, problems } = JSON.parse(stdout);
    t.not(exitCode, 0, args.join(' '));
    t.match({ result, problems }, { result: 'failed', problems: [{ code }] });
    t.equal(listed.length, vms);
  }
  const server = createServer((socket) => socket.resume().on('error', () => {})).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  const endpoint = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  const { child, result } = startCli([...list, 's3://bucket', '--endpoint', endpoint], { env });
  await once(server, 'connection');
  child.kill('SIGINT');
  const { exitCode, stdout } = await result;
  t.equal(exitCode, 130);
  t.match(JSON.parse(stdout), { version: 1, result: 'cancelled', backups: [], vms: [], error: { code: 'CANCELLED' } });
});

test('a lost layer: list tells it and goes on, verify calls the disk broken, restore touches nothing', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv')) return;
  const folder = tempFolder(t);
  const target = join(folder, 'root.raw');
  const plan = await writePlanFile(t, folder, [`rootdisk=${target}`]);
  const damaged = join(folder, 'bucket');
  cpSync(bucket, damaged, { recursive: true });
  rmSync(join(damaged, 'checkpoints/demo/web/cp-002/vmb-002-rootdisk.qcow2'));
  writeFileSync(plan, readFileSync(plan, 'utf8').replace(bucket, damaged));
  const listed = await sharedCli(['list', '--source', damaged]);
  t.equal(listed.exitCode, 3);
  t.match(listed.stdout, /rootdisk +cp-001 .* restorable\n/);
  t.match(listed.stdout, /rootdisk +cp-002 .* broken: layer .* not found\n/);
  t.match(listed.stderr, /error OBJECT_MISSING: .*cp-002/);
  const verified = await sharedCli(['verify', plan]);
  t.equal(verified.exitCode, 3);
  t.match(verified.stdout, /rootdisk +broken/);
  const restored = await sharedCli(['restore', plan, '--scratch', join(folder, 's'), '--output', 'json']);
  t.equal(restored.exitCode, 3);
  t.match(JSON.parse(restored.stdout), {
    result: 'failed',
    pvcs: [{ name: 'rootdisk', state: 'failed' }],
    error: { code: 'OBJECT_MISSING' },
  });
  t.notOk(existsSync(target));
});

const SOURCE_MISUSES: readonly { readonly args: readonly string[]; readonly message: RegExp }[] = [
  { args: ['list'], message: /no source given/ },
  { args: ['plan', '--source', bucket], message: /no VM given/ },
  { args: ['list', '--source', 's3://'], message: /no bucket/ },
  { args: ['list', '--source', 'ftp://bucket'], message: /ftp is not supported/ },
  {
    args: ['list', '--source', bucket, '--profile', 'x', '--endpoint', 'https://y'],
    message: /--endpoint, --profile cannot be combined with the directory/,
  },
  { args: ['list', '--source', 's3://b', '--endpoint', 's3.example.com'], message: /not an http or https URL/ },
  {
    args: ['list', '--source', 's3://b', '--endpoint', 'https://key:SECRET@s3.example.com'],
    message: /contains a user name or password/,
  },
  { args: ['list', '--source', bucket, '--vm', 'web'], message: /NAMESPACE\/NAME/ },
  { args: ['plan', '--source', bucket, '--vm', 'a/b/c'], message: /NAMESPACE\/NAME/ },
  { args: ['plan', ...VM, '--pvc', '=x'], message: /NAME=TARGET/ },
  { args: ['plan', ...VM, '--pvc', 'rootdisk='], message: /NAME=TARGET/ },
  { args: ['plan', ...VM, '--backup', 'b', '--checkpoint', 'c'], message: /'--checkpoint <id>' cannot be used with/ },
];

test('misuse of list and plan: USAGE, exit 2, in the shape of the command', async (t) => {
  for (const { args, message } of SOURCE_MISUSES) {
    const { exitCode, stdout, stderr } = await sharedCli([...args, '--output', 'json']);
    t.equal(exitCode, 2, args.join(' '));
    const document = JSON.parse(stdout);
    t.match(document.error, { code: 'USAGE', message });
    t.notMatch(stdout + stderr, /SECRET/);
    const shape = args[0] === 'list' ? ['version', 'result', 'backups'] : ['version', 'result', 'pvcs'];
    t.strictSame(Object.keys(document).slice(0, 3), shape);
  }
});

test('what is not there: exit 3, and the nearest that is', async (t) => {
  const absent = [
    { args: ['plan', '--source', bucket, '--vm', 'demo/wbe'], hint: /demo\/web/ },
    { args: ['plan', ...VM, '--backup', 'backup-04'], hint: /backup-004/ },
    { args: ['plan', ...VM, '--pvc', 'rotdisk'], hint: /rootdisk/ },
    { args: ['list', '--source', bucket, '--backup', 'backup-04'], hint: /backup-004/ },
  ];
  for (const { args, hint } of absent) {
    const { exitCode, stdout, stderr } = await sharedCli(args);
    t.equal(exitCode, 3, stderr);
    t.equal(stdout, '');
    t.match(stderr, /error BACKUP_NOT_FOUND: /);
    t.match(stderr, hint);
  }
});

test('names from a bucket cannot move the cursor of a terminal', async (t) => {
  const folder = tempFolder(t);
  const damaged = join(folder, 'bucket');
  cpSync(bucket, damaged, { recursive: true });
  const index = join(damaged, 'checkpoints/demo/web/index.json');
  writeFileSync(index, readFileSync(index, 'utf8').replaceAll('cp-002', String.raw`cp\u001b[2J\u202e`));
  const { stdout, stderr } = await sharedCli(['list', '--source', damaged]);
  t.notMatch(stdout + stderr, /(?!\n)[\p{Cc}\u202e]/u);
  t.match(stdout + stderr, /cp-001/);
});
