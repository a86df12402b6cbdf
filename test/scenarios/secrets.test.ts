// No key, token, signature or customer key in anything that a run leaves behind or shows: logs at every level, results,
// reports, journals, scratch, and the arguments of every child.
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  madeBackup,
  type PlanDocument,
  planFor,
  uploadBucket,
} from '../helpers/backup.ts';
import { gateBefore } from '../helpers/gate.ts';
import { type PeerPlan, startPeer } from '../helpers/peer.ts';
import { markEnvironment, processesWith } from '../helpers/processes.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../helpers/rgw.ts';
import { runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

const TOKEN = 'session-token-FwoGZXIvYXdzEXAMPLE';
const WRONG_SECRET = 'wrong-secret-wJalrXUtnFEMIK7MDENG';
const SSE_KEY = Buffer.from('0123456789abcdefFEDCBA9876543210');
const PASSWORD = 'proxy-password-hunter2';
/** What a signed request or URL carries. */
const SIGNED = ['X-Amz-Signature', 'Signature=', 'AWS4-HMAC-SHA256', 'X-Amz-Security-Token'];

interface Stage {
  readonly made: BackupForTest;
  readonly rgw: Rgw;
  readonly bucket: string;
}

interface Case {
  readonly name: string;
  readonly env?: (stage: Stage, folder: string) => NodeJS.ProcessEnv;
  readonly edit?: (document: PlanDocument, stage: Stage, folder: string) => void;
  readonly peer?: PeerPlan;
  readonly exitCode: number;
}

const CASES: readonly Case[] = [
  { name: 'a good run', exitCode: 0 },
  {
    name: 'a good run, keys in a file',
    exitCode: 0,
    env: () => ({}),
    edit: ({ source }, { rgw }, folder) => {
      const path = join(folder, 'cloud');
      writeFileSync(path, `[default]\naws_access_key_id=${rgw.accessKey}\naws_secret_access_key=${rgw.secretKey}\n`);
      Object.assign(source.s3 ?? {}, { credentialsFile: path });
    },
  },
  {
    name: 'answers that are spoilt',
    exitCode: 0,
    peer: ({ index }) => (index % 4 === 0 ? { kind: index % 8 === 0 ? 'garbage' : 'reset' } : undefined),
  },
  {
    name: 'a wrong secret',
    exitCode: 3,
    env: ({ rgw }) => ({ AWS_ACCESS_KEY_ID: rgw.accessKey, AWS_SECRET_ACCESS_KEY: WRONG_SECRET }),
  },
  {
    name: 'a session token, which this server passes over',
    exitCode: 0,
    env: ({ rgw }) => ({ ...rgw.env, AWS_SESSION_TOKEN: TOKEN }),
  },
  {
    name: 'a customer key',
    exitCode: 0,
    edit: ({ source }, _, folder) => {
      const path = join(folder, 'ssec');
      writeFileSync(path, SSE_KEY);
      Object.assign(source.s3 ?? {}, { sseCustomerKeyFile: path });
    },
  },
  {
    name: 'denied on the way',
    exitCode: 3,
    peer: ({ index }) => (index > 8 ? { kind: 'status', status: 403, code: 'AccessDenied' } : undefined),
  },
  {
    name: 'a proxy that is not there',
    exitCode: 3,
    env: ({ rgw }) => ({ ...rgw.env, http_proxy: `http://user:${PASSWORD}@127.0.0.1:1`, no_proxy: '' }),
  },
];

test('runs of every kind, all told', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t);
  for (const { name, env, edit, peer, exitCode } of CASES) {
    await t.test(name, async (t) => {
      const folder = tempFolder(t);
      const plan = await planOf(t, stage, folder, { edit, peer });
      const mark = markEnvironment();
      const report = join(folder, 'report.json');
      const args = [
        '--log-level',
        'debug',
        '--log-format',
        'json',
        '--output',
        'json',
        '--report',
        report,
        '--part-size',
        '1Mi',
      ];
      const watching = watchArguments(mark);
      const run = await runCli(['restore', plan, ...args], {
        env: { ...(env?.(stage, folder) ?? stage.rgw.env), ...mark },
      });
      const seen = watching.stop();
      t.equal(run.exitCode, exitCode, run.stderr.slice(-500));
      t.not(run.stderr, '', 'there is a log');
      isClean(t, stage, {
        stdout: run.stdout,
        stderr: run.stderr,
        report: readFileSync(report, 'utf8'),
        arguments: seen,
      });
    });
  }
});

test('what a killed run leaves in scratch', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, 'mkfifo')) return;
  const stage = await stageOf(t);
  const folder = tempFolder(t);
  const plan = await planOf(t, stage, folder, {});
  const gate = gateBefore(t, '^rebase');
  const run = watchRestore(t, plan, ['--log-level', 'debug'], { env: { ...stage.rgw.env, ...gate.env } });
  await gate.reached();
  run.child.kill('SIGKILL');
  if (run.child.exitCode === null && run.child.signalCode === null) await once(run.child, 'exit');
  const scratch = join(folder, 'scratch');
  const files = readdirSync(scratch, { recursive: true, encoding: 'utf8' }).map((name) => join(scratch, name));
  const journal = files.find((path) => path.endsWith('/journal'));
  t.ok(journal, 'there is a journal');
  for (const path of files.filter((path) => statSync(path).isFile())) {
    isClean(t, stage, { [path.slice(scratch.length)]: readFileSync(path, 'latin1') });
  }
});

test('the text log, and a command line that is wrong', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const stage = await stageOf(t);
  const folder = tempFolder(t);
  const env = { ...stage.rgw.env, AWS_SECRET_ACCESS_KEY: WRONG_SECRET, AWS_SESSION_TOKEN: TOKEN };
  const endpoint = stage.rgw.endpoint;
  const runs = [
    await sharedCli(['restore', await planOf(t, stage, folder, {}), '--log-level', 'debug'], { env }),
    await sharedCli(
      ['list', '--source', `s3://${stage.bucket}`, '--endpoint', endpoint, '--path-style', '--log-level', 'debug'],
      { env },
    ),
    await sharedCli(
      [
        'list',
        '--source',
        `s3://${stage.bucket}`,
        '--endpoint',
        `http://user:${PASSWORD}@127.0.0.1:1`,
        '--log-level',
        'debug',
      ],
      { env },
    ),
  ];
  for (const { exitCode, stdout, stderr } of runs) {
    t.not(exitCode, 0);
    isClean(t, stage, { stdout, stderr });
  }
});

async function stageOf(t: Test): Promise<Stage> {
  const rgw = await startRgw(t);
  const made = await madeBackup(t, { disks: [{ name: 'rootdisk', size: 8 * MiB }], checkpoints: 3 });
  return { made, rgw, bucket: await uploadBucket(rgw, made) };
}

async function planOf(
  t: Test,
  stage: Stage,
  folder: string,
  { edit, peer }: { readonly edit?: Case['edit']; readonly peer?: PeerPlan | undefined },
): Promise<string> {
  const { made, rgw, bucket } = stage;
  const { endpoint } = await startPeer({ upstream: rgw.endpoint, ...(peer === undefined ? {} : { plan: peer }) }, t);
  return await planFor(
    made,
    'backup-003',
    { rootdisk: join(folder, 'disk.raw') },
    {
      s3: { rgw: { ...rgw, endpoint }, bucket },
      scratch: join(folder, 'scratch'),
      edit: (document) => edit?.(document, stage, folder),
    },
  );
}

/** Collects the arguments of all processes of a run, as often as this process gets to it. */
function watchArguments(mark: ReturnType<typeof markEnvironment>): { stop(): string } {
  const seen = new Set<string>();
  const before = new Set(readdirSync('/proc'));
  const timer = setInterval(() => {
    for (const { command } of processesWith(mark, before)) seen.add(command);
  }, 5);
  return {
    stop: () => {
      clearInterval(timer);
      return [...seen].join('\n');
    },
  };
}

function isClean(t: Test, { rgw }: Stage, texts: Readonly<Record<string, string>>): void {
  const secrets = [rgw.secretKey, WRONG_SECRET, TOKEN, PASSWORD, SSE_KEY.toString('latin1')].flatMap((secret) => [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('hex'),
  ]);
  for (const [where, text] of Object.entries(texts)) {
    t.strictSame(
      [...secrets, ...SIGNED].filter((secret) => text.includes(secret)),
      [],
      `nothing secret in ${where}`,
    );
  }
}
