// Digests that others made: `printf abc | sha256sum`, and case 2 of RFC 4231.
import { test } from 'tap';
import { Sha256 } from '../../../src/store/s3/sha256.ts';

const hex = async (hash: Sha256): Promise<string> => Buffer.from(await hash.digest()).toString('hex');

test('a hash, and again after a reset', async (t) => {
  const hash = new Sha256();
  for (let round = 0; round < 2; round += 1) {
    hash.update(Buffer.from('a'));
    hash.update(Buffer.from('bc'));
    t.equal(await hex(hash), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    hash.reset();
  }
});

test('an HMAC, with a key of any form', async (t) => {
  const key = Buffer.from('Jefe');
  for (const secret of ['Jefe', key, new Uint8Array(key), new Uint8Array(key).buffer]) {
    const hash = new Sha256(secret);
    for (let round = 0; round < 2; round += 1) {
      hash.update(Buffer.from('what do ya want for nothing?'));
      t.equal(await hex(hash), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
      hash.reset();
    }
  }
});
