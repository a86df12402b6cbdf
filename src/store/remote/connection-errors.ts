// What an error of a connection means: DNS, TCP, TLS, the proxy's tunnel. By what Node really throws (test/store/s3/tls-faults.test.ts).
import { DatamoverError, systemCode } from '../../errors.ts';
import { exhaustion } from '../../process-limits.ts';
import { TransientError } from '../retry/policy.ts';
import type { ConnectionContext } from './failure-context.ts';
import { clientCertificateHint, otherScheme, PROXY_HINT, PROXY_RULES_HINT } from './hints.ts';
import { type TlsFailure, tlsFailure, tlsReason } from './tls-reasons.ts';

const CERTIFICATE =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|PATH_LENGTH_|ERROR_IN_|CRL_|UNSPECIFIED$)/;

/** Sorts whatever a connection threw. What is none of its errors is given back as it is. */
export function connectionFailure(error: unknown, context: ConnectionContext): unknown {
  if (error instanceof DatamoverError || error instanceof TransientError || !(error instanceof Error)) return error;
  const code = systemCode(error);
  // A call that cannot be made is a bug.
  if (code === undefined || error instanceof TypeError || error instanceof RangeError) return error;
  return fromConnection(code, error, context);
}

/** What has a code and came from a connection may pass, some of it not likely; mistakes in the configuration cannot. */
export function fromConnection(
  code: string,
  error: Error,
  context: ConnectionContext,
): DatamoverError | TransientError {
  const final = (why: string, hint: string): DatamoverError =>
    new DatamoverError('SOURCE_UNREACHABLE', `${context.where}: ${why}`, { hint, cause: error });
  if (CERTIFICATE.test(code))
    return final(`the server's certificate is not trusted (${code})`, certificateHint(code, context));
  const reason = tlsReason(error);
  const failure = reason === undefined ? undefined : tlsFailure(reason);
  if (failure !== undefined) return final(TLS_REASONS[failure], tlsHint(failure, context));
  if (code === 'ERR_PROXY_TUNNEL') return fromTunnel(error, final);
  const exhausted = exhaustion(error);
  if (exhausted !== undefined) return new TransientError(exhausted.why, { hint: exhausted.hint, cause: error });
  const likely = /^(E[A-Z]+|EAI_[A-Z]+|ERR_STREAM_PREMATURE_CLOSE)$/.test(code) && code !== 'EPROTO';
  const why = reason === undefined ? reasonOf(code, error) : `TLS failed: ${reason}`;
  return new TransientError(why, { fewRetries: !likely, hint: networkHint(code, error, context), cause: error });
}

function certificateHint(code: string, { names }: ConnectionContext): string {
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return "renew the server's certificate, and check the clock of this machine (`date`)";
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH') {
    return `set ${names.endpoint} to a host name that the certificate is made out to (\`openssl s_client -connect HOST:PORT\` shows them)`;
  }
  if (code === 'DEPTH_ZERO_SELF_SIGNED_CERT')
    return `add ${names.caFile} with the server's own certificate: no CA signed it`;
  return `add ${names.caFile} with the certificate of the CA that signed the server's`;
}

const TLS_REASONS: Readonly<Record<TlsFailure, string>> = {
  'no-tls': 'the server does not speak TLS on this port',
  version: 'the server speaks no TLS version that is still safe (1.2 or 1.3)',
  'client-certificate': 'the server requires a client certificate',
  name: 'the server does not know the host name of the endpoint',
  refused: 'the server refused the TLS handshake',
};

function tlsHint(failure: TlsFailure, { endpoint, names }: ConnectionContext): string {
  if (failure === 'no-tls') return `${otherScheme(names, endpoint)}, if it speaks plain http there`;
  if (failure === 'version') return 'enable TLS 1.2 or 1.3 in the server, or in the proxy in front of it';
  if (failure === 'client-certificate') return clientCertificateHint(names);
  if (failure === 'name')
    return `set ${names.endpoint} to the host name under which the server is known, not to an IP address or alias`;
  return 'check the cipher suites of the server, and whether it requires a client certificate: kubevirt-datamover sends none';
}

function fromTunnel(
  error: Error,
  final: (why: string, hint: string) => DatamoverError,
): DatamoverError | TransientError {
  const status = 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : undefined;
  if (status === 407) return final('the proxy refused the connection (407)', PROXY_HINT);
  if (status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429) {
    return final(`the proxy refused the connection (${status})`, PROXY_RULES_HINT);
  }
  const why = status === undefined ? 'the proxy did not connect' : `the proxy did not connect (${status})`;
  return new TransientError(why, { hint: PROXY_RULES_HINT, cause: error });
}

/** In words, with Node's code: `connection refused (ECONNREFUSED 127.0.0.1:9000)`. */
function reasonOf(code: string, error: Error): string {
  const words = WORDS.get(code);
  if (words === undefined)
    return code.startsWith('HPE_') ? `the server sent something other than HTTP (${code})` : code;
  const host = 'hostname' in error ? error.hostname : 'address' in error ? error.address : undefined;
  const port = 'port' in error ? `:${error.port}` : '';
  return `${words} (${code}${typeof host === 'string' ? ` ${host}${port}` : ''})`;
}

const WORDS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'connection refused'],
  ['ECONNRESET', 'connection reset'],
  ['EPIPE', 'connection closed'],
  ['ETIMEDOUT', 'no connection in time'],
  ['EHOSTUNREACH', 'no route to the host'],
  ['ENETUNREACH', 'no route to the network'],
  ['ENOTFOUND', 'host name not found'],
  ['EAI_AGAIN', 'the name server does not answer'],
]);

/** Undefined where the usual hint says enough. */
function networkHint(code: string, error: Error, { bucketName, names }: ConnectionContext): string | undefined {
  const host = 'hostname' in error && typeof error.hostname === 'string' ? error.hostname : undefined;
  if (host !== undefined && bucketName !== undefined && host.startsWith(`${bucketName}.`)) {
    const pathStyle =
      names.pathStyle === undefined
        ? ''
        : `add ${names.pathStyle}: the name of the bucket was taken as a part of the host name; or `;
    return `${pathStyle}check ${names.endpoint}`;
  }
  if (code === 'ENOTFOUND') return `check the host name in ${names.endpoint}`;
  if (code === 'EAI_AGAIN') return 'check the name servers (/etc/resolv.conf), then run the same command again';
  if (code === 'ECONNREFUSED' || code.startsWith('HPE_'))
    return `check host and port in ${names.endpoint}, and that the server is running`;
  return undefined;
}
