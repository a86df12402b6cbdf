// What scripts/setup says on a machine that it may not change.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const SETUP = fileURLToPath(new URL('../../scripts/setup', import.meta.url));

test('without root a missing package is named, and nothing else happens', async (t) => {
  if (!requires(t, 'root', 'setpriv')) return;
  // A checkout may lie where nobody else can read it, root's home for one.
  const folder = tempFolder(t);
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, 'scripts'));
  const copy = join(folder, 'scripts', 'setup');
  copyFileSync(SETUP, copy);
  chmodSync(copy, 0o755);
  const args = ['--reuid', '65534', '--clear-groups', '--', copy, 'util-linux', 'no-such-package'];
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
