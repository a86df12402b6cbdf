// The termination message: as much as Kubernetes keeps.
import { test } from 'tap';
import { terminationMessage } from '../../../src/cli/session/termination.ts';
import type { Problem } from '../../../src/errors.ts';

const problem = (message: string, hint = ''): Problem => ({ pvc: 'rootdisk', code: 'CHAIN_BROKEN', message, hint });

test('code, message and hint of each problem', async (t) => {
  const text = terminationMessage([problem('one', 'do this'), { code: 'USAGE', message: 'two', hint: '' }]);
  t.equal(text, 'CHAIN_BROKEN: rootdisk: one\nhint: do this\nUSAGE: two');
});

test('never more than 4096 bytes, cut between characters', async (t) => {
  for (let length = 4000; length < 4110; length += 1) {
    for (const character of ['x', 'ü', '字', '😀']) {
      const text = terminationMessage([problem(`${'x'.repeat(length % 4)}${character.repeat(length)}`)]);
      const bytes = Buffer.byteLength(text);
      if (bytes > 4096 || text.includes('\uFFFD')) t.fail(`${length} × ${character}: ${bytes} bytes`);
    }
  }
  const cut = terminationMessage([problem('x'.repeat(5000))]);
  t.equal(Buffer.byteLength(cut), 4096);
  t.ok(cut.endsWith('…'));
});
