// Help and version: on stdout, with examples, exit 0.
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { buildProgram } from '../../../src/cli/program.ts';
import { runCli } from '../../helpers/run-cli.ts';
import { RecordedStream } from '../../helpers/text-stream.ts';

const streams = { stdout: new RecordedStream(), stderr: new RecordedStream() };
const program = buildProgram(streams, async () => {});
const commands = program.commands.map((command) => command.name());

test('each command has help with a usage line, examples and exit statuses', async (t) => {
  for (const words of [[], ...commands.map((name) => [name])]) {
    const { stdout, stderr, exitCode } = await runCli([...words, '--help']);
    t.equal(exitCode, 0, words.join(' '));
    t.equal(stderr, '');
    t.match(stdout, new RegExp(`^Usage: kubevirt-datamover ${words.join('')}`));
    t.match(stdout, /\nExamples:\n {2}# .*\n {2}\S/);
    t.match(stdout, /\nExit status:\n +0 {2}done\n/);
    t.match(stdout, /--output <format>/, 'flags that go everywhere are shown everywhere');
    t.equal((await runCli(['help', ...words])).stdout, stdout, 'help COMMAND is the same');
  }
});

test('no help line is wider than 100 columns', async (t) => {
  for (const name of commands) {
    const { stdout } = await runCli([name, '--help']);
    for (const line of stdout.split('\n')) t.ok(line.length <= 100, line);
  }
});

test("the version is package.json's", async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  for (const args of [['--version'], ['restore', '--version']]) {
    const { stdout, exitCode } = await runCli(args);
    t.equal(stdout, `kubevirt-datamover ${version}\n`);
    t.equal(exitCode, 0);
  }
});
