// The recipe of docs/format.md, run as it is printed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(ROOT, 'docs/format.md'), 'utf8');

test('the recipe by hand gives the true disk', async (t) => {
  if (!requires(t, 'qemu-img', 'bash')) return;
  const folder = tempFolder(t);
  cpSync(join(ROOT, 'fixtures'), join(folder, 'fixtures'), { recursive: true });
  const recipe = /```sh\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const printed = execFileSync('bash', ['-euo', 'pipefail', '-c', recipe], { cwd: folder, encoding: 'utf8' });
  const transcript = /^\$ qemu-img info .*\n([\s\S]*?)^\$/m.exec(page)?.[1] ?? 'no transcript';
  t.ok(printed.startsWith(transcript), 'the chain is shown as the page says');
  const sum = createHash('sha256')
    .update(readFileSync(join(folder, 'disk.raw')))
    .digest('hex');
  t.ok(page.includes(`${sum}  disk.raw`), 'the sum is the one of the page');
  t.ok(
    readFileSync(join(ROOT, 'fixtures/SHA256SUMS'), 'utf8').includes(`${sum}  cp-004/rootdisk.raw`),
    'and the true one',
  );
});

test('the manifest that it shows is the one in the bucket', async (t) => {
  t.ok(page.includes(readFileSync(join(ROOT, 'fixtures/bucket/manifests/backup-004/demo-web.json'), 'utf8').trim()));
});
