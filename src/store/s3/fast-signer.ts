// SigV4 signatures of GETs by the key of the day, which the SDK's signer derives and keeps by a hash of the secret each time. The SDK's own
// signature of the first request decides whether this one is used.
import { createHmac, hash } from 'node:crypto';
import type { AwsCredentialIdentity } from '@smithy/types';

/** A request without a body. */
export interface SignableRequest {
  readonly method: string;
  /** Encoded. */
  readonly path: string;
  /** Encoded, its names in order. */
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface SigningInput {
  readonly credentials: AwsCredentialIdentity;
  readonly region: string;
  readonly service: string;
  readonly date: Date;
}

/** The SHA-256 of nothing. */
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Headers that others on the way may change or add. */
const UNSIGNED =
  /^(authorization|cache-control|connection|expect|from|keep-alive|max-forwards|pragma|referer|te|trailer|transfer-encoding|upgrade|user-agent|x-amzn-trace-id|(proxy|sec)-.*)$/;

interface DayKey {
  readonly secret: string;
  readonly scope: string;
  readonly key: Buffer;
}

export class FastSigner {
  #dayKey: DayKey | undefined;

  /** The headers that the request is sent with, signed; their names in lower case. */
  sign({ method, path, query, headers }: SignableRequest, input: SigningInput): Record<string, string> {
    const { credentials, region, service, date } = input;
    const { accessKeyId, secretAccessKey: secret, sessionToken } = credentials;
    const time = date.toISOString().replace(/[-:]|\.\d{3}/g, '');
    const day = time.slice(0, 8);
    const signed: Record<string, string> = { 'x-amz-content-sha256': EMPTY };
    for (const [name, value] of Object.entries(headers)) signed[name.toLowerCase()] = value;
    signed['x-amz-date'] = time;
    if (sessionToken !== undefined) signed['x-amz-security-token'] = sessionToken;
    const names = Object.keys(signed)
      .filter((name) => !UNSIGNED.test(name))
      .sort();
    const lines = names.map((name) => `${name}:${(signed[name] ?? '').replace(/\s+/g, ' ').trim()}\n`);
    const list = names.join(';');
    const canonical = [method, path, query, lines.join(''), list, signed['x-amz-content-sha256']];
    const scope = `${day}/${region}/${service}/aws4_request`;
    const toSign = ['AWS4-HMAC-SHA256', time, scope, hash('sha256', canonical.join('\n'))].join('\n');
    const signature = hmac(this.#keyOf({ secret, scope }), toSign).toString('hex');
    signed.authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${list}, Signature=${signature}`;
    return signed;
  }

  #keyOf({ secret, scope }: Omit<DayKey, 'key'>): Buffer {
    const known = this.#dayKey;
    if (known?.secret === secret && known.scope === scope) return known.key;
    const key = scope.split('/').reduce<Buffer | string>((made, word) => hmac(made, word), `AWS4${secret}`);
    this.#dayKey = { secret, scope, key: Buffer.from(key) };
    return this.#dayKey.key;
  }
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
