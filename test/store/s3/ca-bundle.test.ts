// Certificates as people have them, and who names them: the plan, AWS_CA_BUNDLE, ca_bundle, SSL_CERT_FILE, Node's own variable.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import type { S3Options } from '../../../src/s3-options.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { rejectsWith } from '../../contract/store.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { type Peer, startPeer } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, type Rgw, startRgw } from '../../helpers/rgw.ts';
import { runCli } from '../../helpers/run-cli.ts';
import { QUICK } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const signal = new AbortController().signal;
const FIXTURES = fileURLToPath(new URL('../../../fixtures/bucket', import.meta.url));

interface Stage {
  readonly rgw: Rgw;
  readonly bucket: string;
  readonly peer: Peer;
  readonly folder: string;
  /** The right one, PEM. */
  readonly ca: string;
  file(name: string, content: string | Buffer): string;
}

async function setStage(t: Test): Promise<Stage> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, FIXTURES, 'p/');
  const folder = tempFolder(t);
  const certificates = makeCertificates(folder);
  const peer = await startPeer({ upstream: rgw.endpoint, tls: certificates }, t);
  const file = (name: string, content: string | Buffer): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  return { rgw, bucket, peer, folder, ca: certificates.ca, file };
}

async function reach({ rgw, bucket, peer, folder }: Stage, options: Partial<S3Options>, env = {}): Promise<number> {
  const store = await openS3Store(
    { bucket, endpoint: peer.endpoint, ...options },
    { concurrency: 1, env: { ...rgw.env, HOME: folder, ...env }, policy: QUICK },
  );
  try {
    return (await store.head('p/manifests/backup-001/index.json', { signal })).size;
  } finally {
    await store.close();
  }
}

test('forms of a CA file', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const stage = await setStage(t);
  const { ca, file, folder } = stage;
  const other = makeCertificates(tempFolder(t)).ca;
  const der = execFileSync('openssl', ['x509', '-in', join(folder, 'ca.pem'), '-outform', 'der']);
  const text = execFileSync('openssl', ['x509', '-in', join(folder, 'ca.pem'), '-text'], { encoding: 'utf8' });
  const read: [name: string, content: string | Buffer][] = [
    ['PEM', ca],
    ['CR LF', ca.replaceAll('\n', '\r\n')],
    ['a byte order mark', `\uFEFF${ca}`],
    ['no line break at the end', ca.trimEnd()],
    ['text around it', text],
    ['several, the last is right', other + ca],
    ['several, the first is right', ca + other],
    ['several without a line between', other.trimEnd() + ca],
    ['DER', der],
  ];
  for (const [name, content] of read) t.ok(await reach(stage, { caFile: file('ca', content) }), name);
  t.ok(await reach(stage, { caPem: ca.replaceAll('\n', '\r\n') }), 'as text');
  const damaged = ca.replace(/M[A-Za-z0-9]{8}/, 'MIIBAAAAA');
  const refused: [name: string, content: string | Buffer, why: string][] = [
    ['empty', '', ': no certificate found'],
    ['a key', readFileSync(join(folder, 'ca.key')), ': no certificate found, but a PRIVATE KEY'],
    ['a path', join(folder, 'ca.pem'), ': no certificate found'],
    ['the second is damaged', `${ca}\n${damaged}`, `:${ca.split('\n').length + 1}: damaged certificate`],
    ['cut', ca.slice(0, 200), ': no certificate found'],
    ['DER, cut', der.subarray(0, 100), ': no certificate found'],
  ];
  for (const [name, content, why] of refused) {
    const caFile = file('ca', content);
    const error = await rejectsWith(t, 'PLAN_INVALID', () => reach(stage, { caFile }), name);
    t.match(error.message, `${caFile}${why}`, name);
    t.notMatch(error.message, /MII|BEGIN PRIVATE/);
  }
});

test('who names the certificates', async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const stage = await setStage(t);
  const { ca, file } = stage;
  const right = file('right', ca);
  const wrong = file('wrong', makeCertificates(tempFolder(t)).ca);
  const config = file('config', `[default]\nca_bundle = ${right}\n`);
  const good: [name: string, options: Partial<S3Options>, env: Record<string, string>][] = [
    ['AWS_CA_BUNDLE', {}, { AWS_CA_BUNDLE: right }],
    ['AWS_CA_BUNDLE with a line break and ~', {}, { AWS_CA_BUNDLE: '~/right\n' }],
    ['ca_bundle', {}, { AWS_CONFIG_FILE: config, SSL_CERT_FILE: wrong }],
    ['SSL_CERT_FILE', {}, { SSL_CERT_FILE: right }],
    ['the plan over all', { caFile: right }, { AWS_CA_BUNDLE: '/nowhere', SSL_CERT_FILE: '/nowhere' }],
    ['not checked at all', { insecureSkipTLSVerify: true }, { AWS_CA_BUNDLE: '/nowhere' }],
  ];
  for (const [name, options, env] of good) t.ok(await reach(stage, options, env), name);
  const untrusted: [name: string, options: Partial<S3Options>, env: Record<string, string>][] = [
    ['nobody', {}, {}],
    ['the plan over AWS_CA_BUNDLE', { caFile: wrong }, { AWS_CA_BUNDLE: right }],
    ['AWS_CA_BUNDLE over ca_bundle', {}, { AWS_CA_BUNDLE: wrong, AWS_CONFIG_FILE: config }],
    ['an SSL_CERT_FILE that cannot be used', {}, { SSL_CERT_FILE: '/nowhere' }],
    ["Node's variable that checks nothing", {}, { NODE_TLS_REJECT_UNAUTHORIZED: '0' }],
  ];
  for (const [name, options, env] of untrusted) {
    await rejectsWith(t, 'SOURCE_UNREACHABLE', () => reach(stage, options, env), name);
  }
  const missing = await rejectsWith(t, 'USAGE', () => reach(stage, {}, { AWS_CA_BUNDLE: '/nowhere' }));
  t.equal(missing.message, '/nowhere: CA bundle not found');
  t.match(missing.hint, 'AWS_CA_BUNDLE');
  const plain = { endpoint: stage.rgw.endpoint };
  t.ok(await reach(stage, plain, { AWS_CA_BUNDLE: '/nowhere' }), 'over http nobody needs it');
});

test("Node's own variables", async (t) => {
  if (!requires(t, 'openssl', ...RGW_TOOLS)) return;
  const { rgw, bucket, peer, ca, file } = await setStage(t);
  const list = (env: NodeJS.ProcessEnv) =>
    runCli(['list', '--source', `s3://${bucket}/p`, '--endpoint', peer.endpoint, '--log-format', 'json'], {
      env: { ...rgw.env, ...env },
    });
  const extra = await list({ NODE_EXTRA_CA_CERTS: file('right', ca) });
  t.equal(extra.exitCode, 0, extra.stderr);
  const unchecked = await list({ NODE_TLS_REJECT_UNAUTHORIZED: '0' });
  t.equal(unchecked.exitCode, 3, 'the plan says whether certificates are checked');
  for (const line of unchecked.stderr.trim().split('\n')) t.doesNotThrow(() => JSON.parse(line), line);
});
