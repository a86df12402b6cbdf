// What the system says about a target, and what Node says about a call of ours.
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { scratchError } from '../../src/scratch/work-folder.ts';
import { targetFailure } from '../../src/target/failure.ts';
import { tempFolder } from '../helpers/tmp.ts';

const refused = async (call: () => Promise<unknown>): Promise<unknown> => {
  return await call().then(
    () => undefined,
    (error: unknown) => error,
  );
};

test('a refusal of the system is the target’s, or scratch’s', async (t) => {
  const error = await refused(() => readFile(join(tempFolder(t), 'none')));
  t.match(targetFailure('cannot read it', error), { code: 'TARGET_WRITE_FAILED', message: 'cannot read it: ENOENT' });
  t.match(scratchError(error, '/scratch'), { code: 'SCRATCH_UNUSABLE' });
});

test('a wrong call of ours, or one that was aborted, is neither', async (t) => {
  const handle = await open('/dev/zero', 'r');
  t.teardown(() => handle.close());
  const wrong = await refused(() => handle.read(Buffer.alloc(1), 0, 2, 0));
  const aborted = await refused(() => readFile('/dev/zero', { signal: AbortSignal.abort() }));
  t.match(wrong, { code: 'ERR_OUT_OF_RANGE' });
  t.match(aborted, { code: 'ABORT_ERR' });
  for (const error of [wrong, aborted]) {
    t.equal(targetFailure('cannot read it', error), error);
    t.equal(scratchError(error, '/scratch'), error);
  }
});
