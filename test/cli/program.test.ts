// The contract of the command line, on the real program: exit status, JSON on every end, what is said where.
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { ERROR_CODES } from '../../src/errors.ts';
import { exitStatus } from '../../src/exit-status.ts';
import { MiB } from '../../src/units.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const MISUSES: readonly { readonly args: readonly string[]; readonly message: RegExp; readonly hint: RegExp }[] = [
  { args: [], message: /^no command given$/, hint: /kubevirt-datamover restore plan\.yaml/ },
  { args: ['restor', 'plan.yaml'], message: /unknown command 'restor'/, hint: /did you mean restore\?/ },
  { args: ['plan.yaml'], message: /unknown command 'plan\.yaml'/, hint: /kubevirt-datamover restore plan\.yaml/ },
  { args: ['restore', 'p', '--forse'], message: /unknown option '--forse'/, hint: /did you mean --force\?/ },
  { args: ['--outptu', 'restore'], message: /unknown option '--outptu'/, hint: /did you mean --output\?/ },
  { args: ['restore'], message: /no plan given/, hint: /kubevirt-datamover plan/ },
  { args: ['restore', ''], message: /no plan given/, hint: /kubevirt-datamover plan/ },
  { args: ['restore', 'a', 'b'], message: /too many arguments/, hint: /restore --help/ },
  {
    args: ['restore', 'p', '--strategy', 'strem'],
    message: /--strategy.*staged, staged-raw, stream/,
    hint: /restore --help/,
  },
  { args: ['restore', 'p', '--verify', 'all'], message: /--verify.*none, compare/, hint: /restore --help/ },
  { args: ['restore', 'p', '--concurrency', '0'], message: /--concurrency.*1 to 256/, hint: /restore --help/ },
  { args: ['restore', 'p', '--concurrency', '257'], message: /--concurrency.*1 to 256/, hint: /restore --help/ },
  { args: ['restore', 'p', '--concurrency', '1e2'], message: /--concurrency.*integer/, hint: /restore --help/ },
  { args: ['restore', 'p', '--part-size', '16MB'], message: /--part-size.*size such as 16Mi/, hint: /restore --help/ },
  {
    args: ['restore', 'p', '--part-size', '1'],
    message: /--part-size.*from 64\.0 KiB to 1\.00 GiB/,
    hint: /restore --help/,
  },
  { args: ['restore', 'p', '--metrics-port', '70000'], message: /--metrics-port.*65535/, hint: /restore --help/ },
  { args: ['restore', 'p', '--report', '--dry-run'], message: /--report.*looks like a flag/, hint: /restore --help/ },
  { args: ['restore', 'p', '--pvc'], message: /--pvc.*argument missing/, hint: /restore --help/ },
  { args: ['restore', 'p', '--pvc', ''], message: /--pvc.*is empty/, hint: /restore --help/ },
  { args: ['restore', 'p', '--log-level', 'loud'], message: /--log-level.*error, warn, info, debug/, hint: /--help/ },
  { args: ['verify'], message: /no plan given/, hint: /kubevirt-datamover plan/ },
  { args: ['completion'], message: /missing required argument 'shell'/, hint: /completion --help/ },
  { args: ['completion', 'tcsh'], message: /bash, zsh, fish/, hint: /completion --help/ },
];

test('every misuse: exit 2, one line with USAGE and one with a hint, nothing on stdout', async (t) => {
  for (const { args, message, hint } of MISUSES) {
    const { exitCode, stdout, stderr } = await sharedCli(args);
    const [, said = '', hinted = ''] = /(?:^|\n)error USAGE: (.*)\nhint: (.*)\n$/.exec(stderr) ?? [];
    t.equal(exitCode, 2, args.join(' '));
    t.equal(stdout, '', args.join(' '));
    t.match(said, message);
    t.match(hinted, hint);
  }
});

test('a flag of another strategy and a missing plan are reported together', async (t) => {
  const { exitCode, stdout, stderr } = await sharedCli(['restore', 'p', '--window', '64Mi']);
  t.equal(exitCode, 2);
  t.equal(stdout, '');
  t.match(stderr, /^2 problems:\nerror USAGE: --window requires --strategy stream.*\nhint: .*--strategy stream\n/);
  t.match(stderr, /\nerror PLAN_INVALID: .*\bp\b/);
});

test('every misuse with --output json: the same in one document on stdout', async (t) => {
  for (const { args, message, hint } of MISUSES) {
    const { exitCode, stdout } = await sharedCli(['--output', 'json', ...args]);
    t.equal(exitCode, 2, args.join(' '));
    const document = JSON.parse(stdout);
    const problem = { code: 'USAGE', message, hint };
    t.match(document, { version: 1, result: 'failed', pvcs: [], error: problem, problems: [problem] });
    t.strictSame(Object.keys(document), ['version', 'result', 'pvcs', 'seconds', 'error', 'problems']);
    t.type(document.seconds, 'number');
  }
});

test('--output json is heard wherever it stands', async (t) => {
  for (const args of [
    ['restore', '--output=json', '--bogus'],
    ['restore', '--bogus', '--output', 'json'],
    ['--output=json', 'restore', '--output', 'text', '--output=json'],
  ]) {
    const { stdout, exitCode } = await sharedCli(args);
    t.equal(JSON.parse(stdout).error.code, 'USAGE');
    t.equal(exitCode, 2);
  }
  t.equal((await sharedCli(['--output', 'json', 'restore', '--output', 'text', '--bogus'])).stdout, '');
});

test('a plan that is not there, and one that is wrong: exit 2, PLAN_INVALID, all problems', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'wrong.yaml'), 'version: 2\nsource: {}\npvcs: []\n');
  const missing = await sharedCli(['restore', 'nope.yaml', '--output', 'json'], { cwd: folder });
  t.equal(missing.exitCode, 2);
  t.match(JSON.parse(missing.stdout), { pvcs: [], error: { code: 'PLAN_INVALID', message: /nope\.yaml/ } });
  const wrong = await sharedCli(['restore', 'wrong.yaml', '--output', 'json'], { cwd: folder });
  const { error, problems } = JSON.parse(wrong.stdout);
  t.equal(wrong.exitCode, 2);
  t.ok(problems.length > 1);
  t.match(problems[0], error);
  t.match(wrong.stderr, new RegExp(`^${problems.length} problems:\n`));
  for (const { message } of problems) t.ok(wrong.stderr.includes(message));
  const piped = await sharedCli(['verify', '-'], { stdin: 'pvcs: [', cwd: folder });
  t.equal(piped.exitCode, 2);
  t.match(piped.stderr, /^error PLAN_INVALID: /m);
  const image = await runCli(['verify', '-'], { stdin: '#'.repeat(32 * MiB), cwd: folder });
  t.equal(image.exitCode, 2);
  t.match(image.stderr, /^error PLAN_INVALID: standard input: invalid plan: larger than 8 MiB$/m);
});

test('--report: the document, also of a failure; whole, with nothing left beside it', async (t) => {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'real.json'), 'old');
  symlinkSync('real.json', join(folder, 'link.json'));
  const { stdout, exitCode } = await sharedCli(['restore', 'no.yaml', '--report', 'link.json', '--output', 'json'], {
    cwd: folder,
  });
  t.equal(exitCode, 2);
  t.equal(readFileSync(join(folder, 'real.json'), 'utf8'), stdout);
  t.strictSame(
    readdirSync(folder).sort(),
    ['link.json', 'real.json'],
    'the link is still one, nothing temporary is left',
  );
});

test('--report keeps owner and mode of the file that it replaces', async (t) => {
  if (!requires(t, 'root')) return;
  const folder = tempFolder(t);
  const report = join(folder, 'report.json');
  writeFileSync(report, 'old');
  chmodSync(report, 0o640);
  chownSync(report, 107, 108);
  await sharedCli(['restore', 'no.yaml', '--report', report], { cwd: folder });
  t.match(readFileSync(report, 'utf8'), /PLAN_INVALID/);
  const { uid, gid, mode } = statSync(report);
  t.strictSame([uid, gid, mode & 0o777], [107, 108, 0o640]);
});

test('--report that cannot be written is refused with all other problems, and nothing is done', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'is-a-folder'));
  for (const report of ['no/such/folder/r.json', 'is-a-folder', '/dev/null', '/proc/r.json']) {
    const { stderr, exitCode } = await sharedCli(['restore', 'no.yaml', '--report', report], { cwd: folder });
    t.equal(exitCode, 2, report);
    t.match(
      stderr,
      /^2 problems:\nerror USAGE: the report cannot be written to .*\nhint: .*\nerror PLAN_INVALID: .*no\.yaml/,
    );
  }
  t.strictSame(readdirSync(folder), ['is-a-folder']);
});

test('download without its environment: every variable that is missing, in one list', async (t) => {
  const { exitCode, stdout } = await sharedCli(['download', '--output', 'json'], { env: { KUBEVIRT_DM_VM_NAME: '' } });
  t.equal(exitCode, 2);
  const { pvcs, problems } = JSON.parse(stdout);
  t.strictSame(pvcs, []);
  for (const name of ['BSL_PROVIDER', 'BSL_BUCKET', 'VM_NAME', 'VM_NAMESPACE', 'VELERO_BACKUP_NAME', 'TARGET_VOLUME']) {
    t.ok(
      problems.some(
        ({ code, message }: { code: string; message: string }) =>
          code === 'USAGE' && message.includes(`KUBEVIRT_DM_${name} `),
      ),
      name,
    );
  }
  const azure = await sharedCli(['download'], { env: { KUBEVIRT_DM_BSL_PROVIDER: 'azure' } });
  t.equal(azure.exitCode, 2);
  t.match(azure.stderr, /error USAGE: KUBEVIRT_DM_BSL_STORAGE_ACCOUNT is not set/);
  const gcp = await sharedCli(['download'], { env: { KUBEVIRT_DM_BSL_PROVIDER: 'gcp' } });
  t.equal(gcp.exitCode, 2);
  t.match(gcp.stderr, /error USAGE: KUBEVIRT_DM_BSL_BUCKET is not set/);
});

test('logs as JSON lines: asked for, or in a pod', async (t) => {
  const cases = [
    { args: ['--log-format', 'json'], env: {}, json: true },
    { args: [], env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, json: true },
    { args: ['--log-format', 'text'], env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' }, json: false },
    { args: [], env: {}, json: false },
  ];
  for (const { args, env, json } of cases) {
    const { stderr } = await sharedCli(['restore', 'no.yaml', ...args], { env, cwd: tempFolder(t) });
    if (json)
      t.match(JSON.parse(stderr), { level: 'error', event: 'error', code: 'PLAN_INVALID', time: /^\d{4}-.*Z$/ });
    else t.match(stderr, /^error PLAN_INVALID/);
  }
});

test('in a pod the termination message says why; outside of one nothing is written', async (t) => {
  const folder = tempFolder(t);
  const file = join(folder, 'termination-log');
  writeFileSync(file, 'an older and longer message'.repeat(100));
  const env = { KUBEVIRT_DM_TERMINATION_LOG: file };
  await sharedCli(['restore', 'no.yaml'], { env, cwd: folder });
  t.match(readFileSync(file, 'utf8'), /^an older/);
  await sharedCli(['restore', 'no.yaml'], { env: { ...env, KUBERNETES_SERVICE_HOST: '10.0.0.1' }, cwd: folder });
  t.match(readFileSync(file, 'utf8'), /^PLAN_INVALID: .*no\.yaml.*\nhint: .*$/);
  const missing = join(folder, 'missing');
  const pod = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBEVIRT_DM_TERMINATION_LOG: missing };
  t.equal((await sharedCli(['restore', 'no.yaml'], { env: pod, cwd: folder })).exitCode, 2);
  t.notOk(readdirSync(folder).includes('missing'), 'a file that Kubernetes did not make is not made');
});

test('every code has the exit status of the contract', async (t) => {
  const statuses = Object.groupBy(ERROR_CODES, (code) => String(exitStatus(code)));
  t.strictSame(Object.fromEntries(Object.entries(statuses).map(([status, codes = []]) => [status, codes.length])), {
    1: 1,
    2: 3,
    3: 5,
    4: 6,
    5: 3,
    6: 7,
    7: 2,
    8: 1,
    9: 1,
    130: 1,
  });
  t.equal(exitStatus('CANCELLED', 'SIGTERM'), 143);
  t.equal(exitStatus('CANCELLED', 'SIGHUP'), 129);
});
