// What the program makes of the answers of real servers: every one in fixtures/answers but Azurite's, through every kind of request.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { runBounded } from '../../../src/concurrency.ts';
import { DatamoverError, type ErrorCode } from '../../../src/errors.ts';
import type { S3Options } from '../../../src/s3-options.ts';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, readAll } from '../../contract/store.ts';
import { startAnswerServer } from '../../helpers/answer-server.ts';
import { readAnswer } from '../../helpers/answers.ts';
import { makeCertificates } from '../../helpers/certificates.ts';
import { requires } from '../../helpers/requires.ts';
import { impatient } from '../../helpers/s3-peer.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const FOLDER = fileURLToPath(new URL('../../../fixtures/answers', import.meta.url));
const signal = new AbortController().signal;

interface Meaning {
  readonly code: ErrorCode;
  readonly message: RegExp;
  /** Names the flag and the plan's key to change. */
  readonly hint: RegExp;
  /** `once`: final at once. `twice`: once more, signed otherwise. `six`: as often as promised, then final. `long`: until patience ends. */
  readonly tries: 'once' | 'twice' | 'six' | 'long';
  /** The requests that it is for; all unless named. */
  readonly only?: RegExp;
  readonly options?: Partial<S3Options>;
}

const REACH = 'SOURCE_UNREACHABLE';
const DENIED = 'ACCESS_DENIED';
const endpoint = (scheme = '') => new RegExp(`^set --endpoint \\(source\\.s3\\.endpoint\\) to ${scheme}`);

const TLS_PORT: Meaning = {
  code: REACH,
  message: /speaks TLS on this port, not plain http/,
  hint: endpoint('https://127'),
  tries: 'once',
};
// The connection is closed, as by a server that restarts: that it speaks TLS is told by the server itself (tls-faults.test.ts).
const CLOSED: Meaning = { code: REACH, message: /closed the connection|ECONNRESET/, hint: /endpoint/, tries: 'long' };
const NO_TLS: Meaning = {
  code: REACH,
  message: /speaks plain http on this port, not TLS/,
  hint: endpoint('http://127'),
  tries: 'once',
};
const NO_WEB: Meaning = {
  code: REACH,
  message: /neither TLS nor HTTP/,
  hint: /host and port in --endpoint/,
  tries: 'once',
};
const GARBAGE: Meaning = {
  code: REACH,
  message: /something other than HTTP/,
  hint: /host and port in --endpoint/,
  tries: 'six',
};
const PAGE: Meaning = { code: REACH, message: /web page/, hint: /--endpoint \(source.s3.endpoint\)/, tries: 'six' };
const GATEWAY: Meaning = {
  code: REACH,
  message: /the server answered [45]\d\d/,
  hint: /load balancer or proxy/,
  tries: 'long',
  only: /get|read|list/,
};
const NO_S3_404: Meaning = {
  code: REACH,
  message: /404 without an S3 error/,
  hint: /--endpoint \(source.s3.endpoint\)/,
  tries: 'long',
  only: /get|list/,
};
const NO_S3: Meaning = {
  code: REACH,
  message: /a web server or proxy answered/,
  hint: /--endpoint .*HTTPS_PROXY and NO_PROXY/,
  tries: 'once',
};
const LOGIN: Meaning = {
  code: REACH,
  message: /a login other than S3 credentials/,
  hint: endpoint('an S3 server'),
  tries: 'once',
};
const REGION = (region: string): Meaning => ({
  code: REACH,
  message: new RegExp(`the bucket is in region ${region}`),
  hint: new RegExp(`--region ${region} \\(source\\.s3\\.region\\)`),
  tries: 'twice',
});
const denied = (message: RegExp, hint: RegExp): Meaning => ({ code: DENIED, message, hint, tries: 'once' });
const KMS = denied(/the KMS key of the object cannot be used/, /kms:Decrypt/);
const KEYS = /--credentials-file \(source\.s3\.credentialsFile\) and --profile \(source\.s3\.profile\)/;
const NO_SSE_KEY = denied(
  /encrypted with an SSE-C key/,
  /^add --sse-customer-key-file \(source\.s3\.sseCustomerKeyFile\)/,
);
const NOT_ENCRYPTED = denied(/not encrypted with an SSE-C key/, /^remove --sse-customer-key-file/);
const CONSOLE: Meaning = {
  code: REACH,
  message: /port of the web console/,
  hint: endpoint('the port of the S3 API'),
  tries: 'once',
};
const UNSUPPORTED: Meaning = {
  code: REACH,
  message: /does not support the request/,
  hint: /--endpoint/,
  tries: 'once',
};
const CLOCK: Meaning = { code: DENIED, message: /clock is too far off/, hint: /NTP/, tries: 'six' };
const MISSING_BUCKET: Meaning = {
  code: 'OBJECT_MISSING',
  message: /bucket "backups" .*does not exist/,
  hint: /name of the bucket/,
  tries: 'once',
  only: /get|read|list/,
};
const MISSING: Meaning = { code: 'OBJECT_MISSING', message: /does not exist/, hint: /list/, tries: 'once' };
const CHANGED: Meaning = {
  code: 'OBJECT_CHANGED',
  message: /replaced/,
  hint: /run the same command again/,
  tries: 'once',
  only: /read/,
};

const MEANINGS: Readonly<Record<string, Meaning>> = {
  'apache-404': NO_S3,
  'apache-no-tls': NO_TLS,
  'apache-tls-port': TLS_PORT,
  'aws-301': REGION('ap-northeast-1'),
  'aws-301-no-region': { ...REGION('eu-west-1'), only: /get|read|list/ },
  'aws-307': REGION('eu-central-1'),
  'aws-account': denied(/access denied/, /owner/),
  'aws-clock': CLOCK,
  'aws-expired-token': denied(/ExpiredToken/, KEYS),
  'aws-glacier': denied(/in an archive \(GLACIER\)/, /RestoreObject/),
  'aws-invalid-token': denied(/InvalidToken/, KEYS),
  'aws-kms-denied': KMS,
  'aws-kms-disabled': KMS,
  'aws-kms-key': KMS,
  'aws-method': UNSUPPORTED,
  'aws-not-implemented': UNSUPPORTED,
  'aws-region': REGION('eu-central-1'),
  'aws-slow-down': { ...GATEWAY, message: /503/, hint: /endpoint/ },
  'aws-sse-no-key': NO_SSE_KEY,
  'aws-sse-not-encrypted': NOT_ENCRYPTED,
  'go-404': NO_S3_404,
  'go-login': LOGIN,
  'go-no-tls': NO_TLS,
  'go-tls-port': TLS_PORT,
  'haproxy-502': GATEWAY,
  'haproxy-503': GATEWAY,
  'haproxy-504': GATEWAY,
  'haproxy-no-tls': NO_TLS,
  'haproxy-tls-port': CLOSED,
  'ingress-404': NO_S3_404,
  'lighttpd-no-tls': NO_TLS,
  'minio-console-400': CONSOLE,
  'minio-console-403': CONSOLE,
  'minio-sse-not-encrypted': NOT_ENCRYPTED,
  'nginx-403': NO_S3,
  'nginx-404': NO_S3_404,
  'nginx-405': NO_S3,
  'nginx-429': { ...GATEWAY, message: /429/ },
  'nginx-451': { code: REACH, message: /refused the request \(451\)/, hint: /--endpoint/, tries: 'once' },
  'nginx-500': GATEWAY,
  'nginx-502': GATEWAY,
  'nginx-503': GATEWAY,
  'nginx-504': GATEWAY,
  'nginx-client-certificate': {
    code: REACH,
    message: /requires a client certificate/,
    hint: endpoint('an address'),
    tries: 'once',
  },
  'nginx-headers': NO_S3,
  'nginx-login': LOGIN,
  'nginx-no-tls': NO_TLS,
  'nginx-old-tls': {
    code: REACH,
    message: /no TLS version that is still safe/,
    hint: /enable TLS 1\.2/,
    tries: 'once',
  },
  'nginx-page': PAGE,
  'nginx-tls-port': TLS_PORT,
  'nginx-to-https': { code: REACH, message: /redirects to https/, hint: endpoint('https://127'), tries: 'once' },
  'nginx-to-login': {
    code: REACH,
    message: /redirects to https:\/\/login\.example/,
    hint: endpoint('the object store itself'),
    tries: 'once',
  },
  'nginx-unknown-name': {
    code: REACH,
    message: /does not know the host name/,
    hint: endpoint('the host name'),
    tries: 'once',
  },
  'node-no-tls': NO_TLS,
  'node-page': { ...PAGE, message: /neither an ETag nor Last-Modified|named no ETag|something other/, hint: /./ },
  'node-tls-port': CLOSED,
  'python-404': NO_S3_404,
  'python-501': NO_S3,
  'python-no-tls': NO_TLS,
  'python-page': PAGE,
  'python-tls-port': CLOSED,
  'r2-key-length': denied(/access denied/, KEYS),
  'rgw-clock': CLOCK,
  'rgw-denied': denied(/access denied \(403 AccessDenied\)/, /s3:GetObject/),
  'rgw-invalid-access-key': denied(/InvalidAccessKeyId/, KEYS),
  'rgw-kms': KMS,
  'rgw-no-such-bucket': MISSING_BUCKET,
  'rgw-no-such-key': { ...MISSING, only: /head|get|read/ },
  'rgw-no-tls': NO_TLS,
  'rgw-range': CHANGED,
  'rgw-replaced': CHANGED,
  'rgw-signature': denied(/SignatureDoesNotMatch/, KEYS),
  'rgw-sse-no-key': NO_SSE_KEY,
  'rgw-sse-wrong-key': NO_SSE_KEY,
  'rgw-virtual-host': MISSING_BUCKET,
  'sshd-no-http': GARBAGE,
  'sshd-no-tls': NO_WEB,
  'squid-403': { code: REACH, message: /a proxy refused the request/, hint: /HTTPS_PROXY; .*NO_PROXY/, tries: 'once' },
  'squid-407': { code: REACH, message: /the proxy requires a login/, hint: /HTTP_PROXY/, tries: 'once' },
  'squid-503': GATEWAY,
  'tinyproxy-500': GATEWAY,
};
const ASK: Readonly<Record<string, (store: ObjectStore) => Promise<unknown>>> = {
  head: (store) => store.head('disk.qcow2', { signal }),
  get: (store) => store.get('index.json', { maxBytes: 1000, signal }),
  read: (store) => readAll(store, 'disk.qcow2', { offset: 0, length: 1, etag: '"x"', size: 1, signal }),
  list: (store) => listed(store, ''),
};

const AT_ONCE = 4;
const ENV = { AWS_ACCESS_KEY_ID: 'EXAMPLE', AWS_SECRET_ACCESS_KEY: 'EXAMPLE', AWS_REGION: 'us-east-1' };

test('every answer recorded has a meaning here', async (t) => {
  const recorded = readdirSync(FOLDER).filter((name) => name.endsWith('.txt') && !name.startsWith('azurite-'));
  t.same(recorded.map((name) => name.replace('.txt', '')).sort(), Object.keys(MEANINGS).sort());
});

test('what each answer means', async (t) => {
  if (!requires(t, 'openssl')) return;
  const certificates = makeCertificates(tempFolder(t));
  const { caFile } = certificates;
  await runBounded(Object.entries(MEANINGS), { limit: AT_ONCE, signal }, async ([name, meaning]) => {
    const answer = readAnswer(join(FOLDER, `${name}.txt`));
    const url = await startAnswerServer(t, answer, certificates);
    for (const [what, ask] of Object.entries(ASK)) {
      if (meaning.only?.test(what) === false) continue;
      await checkMeaning(t, { what: `${name}: ${what}`, ask, meaning, url, caFile });
    }
  });
});

async function checkMeaning(
  t: Test,
  {
    what,
    ask,
    meaning,
    url,
    caFile,
  }: { what: string; ask: (store: ObjectStore) => Promise<unknown>; meaning: Meaning; url: string; caFile: string },
): Promise<void> {
  const { policy, onRetry } = impatient();
  let retries = 0;
  const options = { bucket: 'backups', endpoint: url, caFile, ...meaning.options };
  const store = await openS3Store(options, {
    concurrency: 1,
    env: ENV,
    policy,
    onRetry: () => {
      retries += 1;
      onRetry();
    },
  });
  try {
    await ask(store);
    t.fail(`${what} succeeded`);
  } catch (error) {
    if (!(error instanceof DatamoverError)) throw error;
    t.equal(error.code, meaning.code, `${what}: ${error.message}`);
    t.match(error.message, meaning.message, what);
    t.match(error.hint, meaning.hint, `${what}: the hint`);
    const { tries } = meaning;
    const least = { once: 0, twice: 1, six: 5, long: 5 }[tries];
    const most = tries === 'long' ? Number.POSITIVE_INFINITY : least;
    t.ok(retries >= least && retries <= most, `${what}: tried ${retries + 1} times, not ${tries}`);
  } finally {
    await store.close();
  }
}
