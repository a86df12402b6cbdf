// What a final HTTP answer means: code, reason and what to change. By what real servers answer (fixtures/answers).
import {
  clientCertificate,
  firstRefusal,
  proxyLogin,
  proxyRules,
  type Refusal,
  unreachable,
} from '../remote/refusal.ts';
import { type ErrorAnswer, elementOf, isOfS3, isWebPage, regionOf } from './answer.ts';
import type { FailureContext } from './failure-context.ts';
import { ACCESS_HINTS, DEFAULT_ACCESS_HINT, ENDPOINT, otherScheme, REGION, SSE_KEY } from './hints.ts';

type Rule = (answer: ErrorAnswer, context: FailureContext) => Refusal | undefined;

export function refusalOf(answer: ErrorAnswer, context: FailureContext): Refusal {
  return (
    firstRefusal(RULES, answer, context) ??
    unreachable('the server refused the request', `check ${ENDPOINT}, ${REGION} and the name of the bucket`)
  );
}

const RULES: readonly Rule[] = [
  wrongPort,
  proxyLogin,
  otherRegion,
  redirect,
  encryption,
  noS3,
  archived,
  keys,
  unsupported,
];

/** nginx, Apache httpd and Go have words of their own for what is not spoken there; MinIO for its console's port. */
function wrongPort({ text }: ErrorAnswer, { endpoint, names }: FailureContext): Refusal | undefined {
  if (
    /plain HTTP request was sent to HTTPS port|speaking plain HTTP to an SSL-enabled|HTTP request to an HTTPS server/i.test(
      text,
    )
  ) {
    return unreachable('the server speaks TLS on this port, not plain http', otherScheme(endpoint));
  }
  const certificate = clientCertificate({ text }, names);
  if (certificate !== undefined) return certificate;
  if (/S3 (?:API )?Requests? (?:must|should|made)\b.{0,60}\bport/i.test(text)) {
    const hint = `set ${ENDPOINT} to the port of the S3 API (MinIO: 9000 unless configured otherwise)`;
    return unreachable('this is the port of the web console, not of the S3 API', hint);
  }
  return undefined;
}

function otherRegion(answer: ErrorAnswer, { region, endpoint }: FailureContext): Refusal | undefined {
  const { status, name } = answer;
  const malformed = /^(AuthorizationHeaderMalformed|IllegalLocationConstraintException|PermanentRedirect)$/.test(name);
  const known = regionOf(answer);
  const redirected = status >= 300 && status < 400;
  const named = known !== undefined && (redirected || (status === 400 && known !== region));
  if (!malformed && !named) return undefined;
  if (known === undefined) {
    return unreachable('the bucket is in another region or at another endpoint', `check ${REGION} and ${ENDPOINT}`);
  }
  // The address has a region of its own: AWS's does, when it is written out.
  const fixed = endpoint !== undefined && /\.amazonaws\.com/.test(endpoint);
  const address = fixed ? ` and --endpoint https://s3.${known}.amazonaws.com (source.s3.endpoint)` : '';
  return unreachable(`the bucket is in region ${known}`, `add --region ${known} (source.s3.region)${address}`);
}

function redirect({ status, headers }: ErrorAnswer, { endpoint }: FailureContext): Refusal | undefined {
  if (status < 300 || status >= 400) return undefined;
  const [from, to] = [URL.parse(endpoint ?? ''), URL.parse(headers.location ?? '')];
  if (to === null) return unreachable('the server redirects elsewhere', `check ${ENDPOINT}`);
  if (from?.protocol === 'http:' && to.protocol === 'https:' && from.hostname === to.hostname) {
    return unreachable('the server redirects to https', `set ${ENDPOINT} to ${to.origin}`);
  }
  const hint = `set ${ENDPOINT} to the object store itself, not to a web page or a login in front of it`;
  return unreachable(`the server redirects to ${to.origin}`, hint);
}

function encryption({ status, name, text }: ErrorAnswer, context: FailureContext): Refusal | undefined {
  if (status !== 400 && status !== 403) return undefined;
  const words = elementText(text);
  if (/^KMS\./.test(name) || /kms:|kms-keyid|KMS key|customer master key/i.test(words)) {
    const hint =
      'allow these keys kms:Decrypt on the KMS key of the object, and check that the KMS key exists and is enabled';
    return { code: 'ACCESS_DENIED', why: 'the KMS key of the object cannot be used', hint };
  }
  if (/encryption parameters are not applicable/i.test(words)) {
    const hint = `remove ${SSE_KEY}: this object is not encrypted with a key of the client`;
    return { code: 'ACCESS_DENIED', why: 'the object is not encrypted with an SSE-C key', hint };
  }
  const named = /server.side encryption|customer.provided|hash of the key|appropriate secret key/i.test(words);
  // Some servers say no more than that.
  const silent = words === '' && /^(InvalidRequest|InvalidArgument)$/.test(name);
  if (!named && !silent && name !== 'InvalidEncryptionAlgorithmError') return undefined;
  const secure = context.endpoint?.startsWith('http:') === true ? '; most servers take it over https only' : '';
  if (context.sseKey === true) {
    const why = 'the server refused the SSE-C key';
    return { code: 'ACCESS_DENIED', why, hint: `check that ${SSE_KEY} is the key of this object${secure}` };
  }
  const why = silent ? 'the server refused the request' : 'the object is encrypted with an SSE-C key';
  const when = silent ? 'if the object is encrypted with a key of the client (SSE-C), ' : '';
  return { code: 'ACCESS_DENIED', why, hint: `${when}add ${SSE_KEY}${secure}` };
}

/** The words of S3's error document. */
function elementText(text: string): string {
  return /<Message>([^<]*)<\/Message>/.exec(text)?.[1] ?? '';
}

/** What a web server, a gateway or a proxy answers in its own name. */
function noS3(answer: ErrorAnswer): Refusal | undefined {
  const { status, headers, text } = answer;
  if (isOfS3(answer)) return undefined;
  const byProxy = proxyRules(answer);
  if (byProxy !== undefined) return byProxy;
  if (status === 401 && headers['www-authenticate'] !== undefined) {
    return unreachable(
      'the server requires a login other than S3 credentials',
      `set ${ENDPOINT} to an S3 server without it`,
    );
  }
  if (text === '' || !(isWebPage(answer) || /^text\//.test(headers['content-type'] ?? 'text/'))) return undefined;
  return unreachable(
    'a web server or proxy answered, not an S3 server',
    `check ${ENDPOINT}, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY`,
  );
}

function archived(answer: ErrorAnswer): Refusal | undefined {
  if (answer.name !== 'InvalidObjectState') return undefined;
  const storageClass = elementOf(answer, 'StorageClass');
  return {
    code: 'ACCESS_DENIED',
    why: `the object is in an archive${storageClass === undefined ? '' : ` (${storageClass})`}`,
    hint: 'restore the object from the archive in the object store first (S3: RestoreObject), then run the same command again',
  };
}

function keys({ status, name, text }: ErrorAnswer): Refusal | undefined {
  const hint = /access key has length/i.test(elementText(text))
    ? ACCESS_HINTS.get('InvalidAccessKeyId')
    : ACCESS_HINTS.get(name);
  if (hint === undefined && status !== 401 && status !== 403) return undefined;
  return { code: 'ACCESS_DENIED', why: 'access denied', hint: hint ?? DEFAULT_ACCESS_HINT };
}

function unsupported({ status }: ErrorAnswer): Refusal | undefined {
  if (status !== 405 && status !== 501 && status !== 505) return undefined;
  const hint = `check ${ENDPOINT}: the server must support GetObject with Range, and ListObjectsV2 or ListObjects`;
  return unreachable('the server does not support the request', hint);
}
