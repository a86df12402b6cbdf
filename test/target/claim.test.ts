import fc from 'fast-check';
import { test } from 'tap';
import { CLAIM_SIZE, type Claim, encodeClaim, isClaimOf, parseClaim } from '../../src/target/claim.ts';

const CLAIM: Claim = { planId: '0123456789abcdef', pvc: 'rootdisk', diskSize: 1024, runId: crypto.randomUUID() };

test('a claim is read back as it was written', async (t) => {
  const block = encodeClaim(CLAIM);
  t.equal(block.length, CLAIM_SIZE);
  t.strictSame(parseClaim(block), CLAIM);
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 300, unit: 'binary' }), fc.maxSafeNat(), (pvc, diskSize) => {
      const claim = parseClaim(encodeClaim({ ...CLAIM, pvc, diskSize }));
      return claim !== undefined && isClaimOf(claim, { planId: CLAIM.planId, pvc, diskSize });
    }),
  );
});

test('a claim of another plan, PVC or size is another claim', async (t) => {
  t.ok(isClaimOf(CLAIM, CLAIM));
  t.ok(isClaimOf({ ...CLAIM, runId: 'another' }, CLAIM), 'whichever run it was');
  for (const other of [{ planId: 'x' }, { pvc: 'data' }, { diskSize: 1 }]) {
    t.notOk(isClaimOf({ ...CLAIM, ...other }, CLAIM), JSON.stringify(other));
  }
});

test('a torn or changed claim is none, and no bytes make it throw', async (t) => {
  const block = encodeClaim(CLAIM);
  for (let bit = 0; bit < 8 * CLAIM_SIZE; bit += 101) {
    const changed = Uint8Array.from(block);
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    t.equal(parseClaim(changed), undefined, `bit ${bit}`);
  }
  t.equal(parseClaim(block.subarray(0, 512)), undefined);
  fc.assert(fc.property(fc.uint8Array({ maxLength: CLAIM_SIZE }), (bytes) => parseClaim(bytes) === undefined));
});

test('a device under 4 KiB has a claim of its own size, read back as it was written', async (t) => {
  for (const capacity of [512, 1024, 3584]) {
    const block = encodeClaim(CLAIM, capacity);
    t.equal(block.length, capacity);
    t.strictSame(parseClaim(block), CLAIM);
    for (let bit = 0; bit < 8 * 508; bit += 37) {
      const changed = Uint8Array.from(block);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      t.equal(parseClaim(changed), undefined, `bit ${bit}`);
    }
    t.ok(
      block.subarray(508).every((byte) => byte === 0),
      'no boot signature, no GPT header',
    );
  }
  t.equal(encodeClaim(CLAIM, 1024 * 1024).length, CLAIM_SIZE);
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 300, unit: 'binary' }), (pvc) => {
      const claim = parseClaim(encodeClaim({ ...CLAIM, pvc, diskSize: Number.MAX_SAFE_INTEGER }, 512));
      return claim !== undefined && isClaimOf(claim, { ...CLAIM, pvc, diskSize: Number.MAX_SAFE_INTEGER });
    }),
  );
});

test('a claim never looks like a boot sector or a partition table', async (t) => {
  const block = encodeClaim({ ...CLAIM, pvc: 'U\u00aa'.repeat(200) });
  t.equal((block[510] ?? 0) | (block[511] ?? 0), 0, 'no boot signature');
  t.ok(
    block.subarray(512, CLAIM_SIZE - 4).every((byte) => byte === 0),
    'no GPT header',
  );
});
