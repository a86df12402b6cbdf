// The documents keep what they promise: their shell blocks run as printed, their links lead somewhere, every code has its fix.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { ERROR_CODES } from '../src/errors.ts';
import { requires } from './helpers/requires.ts';
import { cleanEnvironment, programPath } from './helpers/run-cli.ts';
import { tempFolder } from './helpers/tmp.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const DOCUMENTS = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The text of every block that is fenced as ```sh run. */
function runnableBlocks(document: string): string[] {
  return [...readFileSync(join(ROOT, document), 'utf8').matchAll(/^```sh run\n(.*?)^```$/gms)].map(
    (match) => match[1] ?? '',
  );
}

test('shell blocks run as printed', async (t) => {
  if (!requires(t, 'bash', 'qemu-img', 'debugfs')) return;
  for (const document of DOCUMENTS) {
    const blocks = runnableBlocks(document);
    if (blocks.length === 0) continue;
    await t.test(document, async (t) => {
      const folder = tempFolder(t);
      cpSync(join(ROOT, 'fixtures/bucket'), join(folder, 'bucket'), { recursive: true });
      mkdirSync(join(folder, 'bin'));
      symlinkSync(process.execPath, join(folder, 'bin/node'));
      const launcher = join(folder, 'bin/kubevirt-datamover');
      execFileSync('bash', [
        '-c',
        `printf '#!/bin/sh\\nexec "%s" "%s" "$@"\\n' "${process.execPath}" "${programPath()}" > "${launcher}"; chmod +x "${launcher}"`,
      ]);
      for (const block of blocks) {
        const run = spawnSync('bash', ['-euo', 'pipefail', '-c', block], {
          cwd: folder,
          encoding: 'utf8',
          env: { ...cleanEnvironment(), PATH: `${join(folder, 'bin')}:${process.env.PATH}:/usr/sbin:/sbin` },
        });
        t.equal(run.status, 0, `${block}\n${run.stdout}${run.stderr}`);
      }
    });
  }
});

test('links lead somewhere', async (t) => {
  for (const document of DOCUMENTS) {
    const text = readFileSync(join(ROOT, document), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(ROOT, dirname(document), target)), `${document} → ${target}`);
    }
  }
});

test('every error code has a row with its fix', async (t) => {
  const text = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  for (const code of ERROR_CODES) t.match(text, `| \`${code}\` |`, code);
});
