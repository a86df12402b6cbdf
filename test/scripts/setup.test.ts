// What scripts/setup says on a machine that it may not change.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { requires } from '../helpers/requires.ts';

const SETUP = fileURLToPath(new URL('../../scripts/setup', import.meta.url));

test('without root a missing package is named, and nothing else happens', async (t) => {
  if (!requires(t, 'root', 'setpriv')) return;
  const args = ['--reuid', '65534', '--clear-groups', '--', SETUP, 'util-linux', 'no-such-package'];
  const run = spawnSync('setpriv', args, { encoding: 'utf8' });
  t.equal(run.status, 1);
  t.equal(run.stderr, 'setup: missing: no-such-package; run as root: apt-get install no-such-package\n');
});

test('where all is there, nothing is said or done', async (t) => {
  if (!requires(t, 'setpriv')) return;
  const run = spawnSync(SETUP, ['util-linux'], { encoding: 'utf8' });
  t.equal(run.status, 0, run.stderr);
  t.notMatch(run.stderr, /installing|npm ci/);
});
