// What OpenSSL says when TLS fails. Node gives it in two forms: with a code of its own when the connection had nothing to
// send, and as EPROTO with OpenSSL's line in the message when a request was waiting.

/** `wrong version number`, `tlsv1 alert protocol version`…; undefined for an error that is not of TLS. */
export function tlsReason(error: Error): string | undefined {
  const line = /error:[0-9A-F]{8}:[^:]*:[^:]*:([^:\n]+)/.exec(error.message)?.[1];
  if (line !== undefined) return line.trim().toLowerCase();
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const match = /^ERR_SSL_(.+)$/.exec(code);
  return match?.[1]?.toLowerCase().replaceAll('_', ' ');
}

export type TlsFailure = 'no-tls' | 'version' | 'client-certificate' | 'name' | 'refused';

/** What a reason means; undefined for one that may pass (a damaged record, a connection that was cut). */
export function tlsFailure(reason: string): TlsFailure | undefined {
  return MEANINGS.find(([pattern]) => pattern.test(reason))?.[1];
}

const MEANINGS: readonly (readonly [RegExp, TlsFailure])[] = [
  [/wrong version number|packet length too long|http request|record too small|unknown protocol/, 'no-tls'],
  [
    /alert protocol version|unsupported protocol|unsupported ssl version|no protocols available|version too low/,
    'version',
  ],
  // TLS 1.3 has an alert for it; earlier versions complain of the certificate that did not come.
  [
    /certificate required|alert (?:bad|unknown|expired|revoked|unsupported) certificate|alert certificate (?:unknown|expired|revoked)|alert access denied|alert no certificate/,
    'client-certificate',
  ],
  [/unrecognized name/, 'name'],
  [/handshake failure|no shared cipher|insufficient security/, 'refused'],
];
