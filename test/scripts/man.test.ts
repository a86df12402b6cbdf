// The manual pages: valid, found by their names, and with every word of `--help`.
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { roffText } from '../../scripts/lib/man/roff.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const SCRIPT = fileURLToPath(new URL('../../scripts/man', import.meta.url));
const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '500' };

test('a page for the program and for each command, as their help has it', async (t) => {
  if (!requires(t, 'man', 'lexgrog')) return;
  const folder = join(tempFolder(t), 'new', 'man1');
  execFileSync(SCRIPT, [folder]);
  const files = readdirSync(folder);
  const { stdout: overview } = await sharedCli(['--help']);
  const commands = /^Commands:\n((?: {2}.*\n)+)/m.exec(overview)?.[1] ?? '';
  const names = [...commands.matchAll(/^ {2}([a-z-]+) /gm)]
    .map(([, name]) => name ?? '')
    .filter((name) => name !== 'help');
  t.ok(names.length >= 9);
  t.strictSame(files.sort(), ['kubevirt-datamover.1', ...names.map((name) => `kubevirt-datamover-${name}.1`)].sort());
  for (const file of files) {
    await t.test(file, async (t) => {
      const path = join(folder, file);
      const checked = spawnSync('man', ['--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', path], {
        env,
        encoding: 'utf8',
      });
      t.strictSame([checked.status, checked.stderr], [0, '']);
      const [, command] = /^kubevirt-datamover-(.+)\.1$/.exec(file) ?? [];
      t.match(execFileSync('lexgrog', [path], { encoding: 'utf8' }), `"${basename(file, '.1')} - `);
      const page = words(execFileSync('man', ['-l', path], { env, encoding: 'utf8' }));
      const { stdout: help } = await sharedCli(command === undefined ? ['--help'] : [command, '--help']);
      const missing = sentences(help).filter((sentence) => !page.includes(sentence));
      t.strictSame(missing, []);
    });
  }
});

/** The text without its lay-out. */
function words(text: string): string {
  return text.replace(/\s+/g, ' ');
}

/** What the page must have too: every line of the help, terms and meanings apart; wrapped lines each by itself. */
function sentences(help: string): string[] {
  return help
    .split('\n')
    .filter((line) => !/^(Usage|\S.*:$)/.test(line))
    .flatMap((line) => line.trim().replace(/^# /, '').split(/ {2,}/))
    .map(words)
    .filter((line) => line !== '' && !/^(help|display help)/.test(line));
}

test('text that roff would take for a command', async (t) => {
  t.equal(roffText(".TH 'x' a\\b --flag …"), "\\&.TH 'x' a\\eb \\-\\-flag \\[u2026]");
  t.equal(roffText("'br"), "\\&'br");
});
