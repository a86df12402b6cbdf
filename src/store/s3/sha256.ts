// SHA-256 and its HMAC for the SDK's signer, which signs each of the thousands of reads of a disk. The SDK's own hands the key to
// Node as bytes, which takes four times as long as a key object, and copies each hash before it ends it.
import { createHash, createHmac, createSecretKey, type Hash, type Hmac, type KeyObject } from 'node:crypto';
import type { Checksum, SourceData } from '@smithy/types';

/** Signing keys: the signer keeps each for a day. */
const KEYS = new WeakMap<ArrayBufferView, KeyObject>();

/** A hash, or with `secret` an HMAC. Once its digest is taken, it takes no more data before `reset`. */
export class Sha256 implements Checksum {
  readonly digestLength = 32;
  readonly #secret: SourceData | undefined;
  #hash: Hash | Hmac;

  constructor(secret?: SourceData) {
    this.#secret = secret;
    this.#hash = start(secret);
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {
    this.#hash = start(this.#secret);
  }
}

function start(secret: SourceData | undefined): Hash | Hmac {
  if (secret === undefined) return createHash('sha256');
  return createHmac(
    'sha256',
    ArrayBuffer.isView(secret) ? keyOf(secret) : typeof secret === 'string' ? secret : Buffer.from(secret),
  );
}

function keyOf(secret: ArrayBufferView): KeyObject {
  const known = KEYS.get(secret);
  if (known !== undefined) return known;
  const key = createSecretKey(Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength));
  KEYS.set(secret, key);
  return key;
}
