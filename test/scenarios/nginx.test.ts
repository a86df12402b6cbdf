// nginx, as a static source and as the proxy before an S3 server, with everything compressed that it may compress.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { MiB } from '../../src/units.ts';
import {
  BACKUP_TOOLS,
  type BackupForTest,
  difference,
  madeBackup,
  planFor,
  truthOf,
  uploadBucket,
} from '../helpers/backup.ts';
import { NGINX_TOOLS, startNginxServer } from '../helpers/nginx.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';

const BACKUP = 'backup-003';
const COMPRESSED = 'gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; gzip_http_version 1.0;';
const SHAPE: Parameters<typeof madeBackup>[1] = {
  disks: [{ name: 'rootdisk', size: 12 * MiB, initial: { bytes: 6 * MiB } }],
  checkpoints: 3,
};

const truth = (made: BackupForTest): string => truthOf(made, BACKUP, 'rootdisk');

test('a folder that nginx serves is a source for a plan with written chains', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...NGINX_TOOLS)) return;
  const made = await madeBackup(t, SHAPE);
  const url = await startNginxServer(t, `root ${made.folder}; ${COMPRESSED}`);
  const compressed = await fetch(`${url}/bucket/checkpoints/demo/web/index.json`);
  await compressed.arrayBuffer();
  t.match(compressed.headers.get('etag'), /^W\//, 'what it compresses has a weak ETag');
  const target = join(made.folder, 'disk.raw');
  const plan = await planFor(
    made,
    BACKUP,
    { rootdisk: target },
    {
      edit: (document) => {
        document.source = { s3: { bucket: 'bucket', endpoint: url, forcePathStyle: true } };
      },
    },
  );
  // It does not look at signatures.
  const env = { AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any' };
  for (const strategy of ['staged', 'stream']) {
    const run = await runRestore(plan, ['--strategy', strategy, '--log-format', 'json'], env);
    t.equal(run.exitCode, 0, run.document.error?.message ?? strategy);
    t.notMatch(run.stderr, /"event":"retry"/);
    t.equal(await difference(target, truth(made)), undefined, `${strategy} is identical`);
    rmSync(target);
  }
});

test('an S3 server behind nginx', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS, ...NGINX_TOOLS)) return;
  const rgw = await startRgw(t);
  const made = await madeBackup(t, SHAPE);
  const bucket = await uploadBucket(rgw, made);
  const proxy = `proxy_pass ${rgw.endpoint}; proxy_set_header Host $http_host; proxy_http_version 1.1;`;
  const url = await startNginxServer(t, `${COMPRESSED} location / { ${proxy} }`);
  const source = ['--source', `s3://${bucket}`, '--endpoint', url, '--path-style'];
  const listed = await sharedCli(['list', ...source, '--output', 'json'], { env: rgw.env });
  t.equal(listed.exitCode, 0, listed.stderr);
  const target = join(made.folder, 'disk.raw');
  const what = ['--vm', 'demo/web', '--backup', BACKUP, '--pvc', `rootdisk=${target}`];
  const plan = await sharedCli(['plan', ...source, ...what], { env: rgw.env });
  t.equal(plan.exitCode, 0, plan.stderr);
  for (const strategy of ['staged', 'stream']) {
    const args = ['--scratch', join(made.folder, 'scratch'), '--strategy', strategy, '--log-format', 'json'];
    const run = await sharedCli(['restore', '-', ...args], { env: rgw.env, stdin: plan.stdout });
    t.equal(run.exitCode, 0, run.stderr);
    t.notMatch(run.stderr, /"event":"retry"/);
    t.equal(await difference(target, truth(made)), undefined, `${strategy} is identical`);
    rmSync(target);
  }
});
