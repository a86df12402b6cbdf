// The completion scripts, loaded and asked by the shells themselves.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { requires } from '../../helpers/requires.ts';
import { cleanEnvironment, runCli } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

/** What stands left of the cursor, and what is offered for the last word there. */
const CASES: readonly { readonly line: string; readonly offered: readonly string[] }[] = [
  { line: 'kubevirt-datamover res', offered: ['restore'] },
  { line: 'kubevirt-datamover restore --str', offered: ['--strategy'] },
  { line: 'kubevirt-datamover restore --strategy st', offered: ['staged', 'staged-raw', 'stream'] },
  { line: 'kubevirt-datamover --output js', offered: ['json'] },
  { line: 'kubevirt-datamover verify --log-le', offered: ['--log-level'] },
  { line: 'kubevirt-datamover completion f', offered: ['fish'] },
  { line: 'kubevirt-datamover restore my-p', offered: ['my-plan.yaml'] },
  { line: 'kubevirt-datamover restore --scratch my-f', offered: ['my-folder'] },
];

async function scriptIn(t: Test, shell: string): Promise<{ readonly folder: string; readonly file: string }> {
  const folder = tempFolder(t);
  writeFileSync(join(folder, 'my-plan.yaml'), '');
  mkdirSync(join(folder, 'my-folder'));
  const { stdout, exitCode } = await runCli(['completion', shell]);
  t.equal(exitCode, 0);
  const file = join(folder, '_kubevirt-datamover');
  writeFileSync(file, stdout);
  return { folder, file };
}

function ask(program: string, args: readonly string[], folder: string): string[] {
  const text = execFileSync(program, args, {
    cwd: folder,
    env: cleanEnvironment({ HOME: folder, TERM: 'dumb' }),
    encoding: 'utf8',
  });
  return text.split(/\r?\n/).filter((line) => line !== '');
}

test('bash', async (t) => {
  if (!requires(t, 'bash')) return;
  const { folder, file } = await scriptIn(t, 'bash');
  for (const { line, offered } of CASES) {
    const words = line.split(' ');
    const script = `set -u; source ${file}; COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}
      _kubevirt_datamover; printf '%s\\n' "\${COMPREPLY[@]}"`;
    t.strictSame(ask('bash', ['--norc', '-c', script], folder).sort(), [...offered].sort(), line);
  }
  const equals = `source ${file}; COMP_WORDS=(kubevirt-datamover restore --verify = co); COMP_CWORD=4
    _kubevirt_datamover; printf '%s\\n' "\${COMPREPLY[@]}"`;
  t.strictSame(ask('bash', ['--norc', '-c', equals], folder), ['compare'], '--verify=co');
});

test('zsh', async (t) => {
  if (!requires(t, 'zsh')) return;
  const { folder, file } = await scriptIn(t, 'zsh');
  const driver = fileURLToPath(new URL('../../helpers/ask-zsh.zsh', import.meta.url));
  for (const { line, offered } of CASES) {
    const shown = new Set(ask('zsh', ['-f', driver, file, line], folder));
    t.strictSame([...shown].sort(), [...offered].sort(), line);
  }
});

test('fish', async (t) => {
  if (!requires(t, 'fish')) return;
  const { folder, file } = await scriptIn(t, 'fish');
  for (const { line, offered } of CASES) {
    const script = `source ${file}; complete --do-complete '${line}'`;
    const shown = ask('fish', ['--no-config', '-c', script], folder).map((text) =>
      (text.split('\t')[0] ?? '').replace(/\/$/, ''),
    );
    t.strictSame(shown.sort(), [...offered].sort(), line);
  }
});
