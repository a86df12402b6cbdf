// docs/commands.md, made of the definitions that `--help` is made of: there is no second text.
import { Writable } from 'node:stream';
import type { Command, Option } from 'commander';
import { type HelpSection, type HelpTexts, helpTextsOf } from '../../../src/cli/flags/help.ts';
import { buildProgram } from '../../../src/cli/program.ts';

/** The page, complete. */
export function commandsPage(): string {
  const nowhere = new Writable({ write: (_bytes, _encoding, done) => done() });
  const program = buildProgram({ stdout: nowhere, stderr: nowhere }, async () => {});
  const { commands } = program;
  const shared = sharedSections(commands);
  return [
    '# Commands',
    'This page is made of the definitions that `kubevirt-datamover COMMAND --help` prints (`scripts/reference`). The Debian package also has them as ' +
      'manual pages: `man kubevirt-datamover-restore`.',
    table(['command', 'effect'], commands.map(commandRow)),
    'A size is a number of bytes, or a quantity such as `16Mi`, `10Gi` or `500M`. [Output](output.md#exit-statuses) has the exit statuses, ' +
      '[environment](environment.md) the variables.',
    '## Flags of every command',
    optionTable(program, program.options),
    ...commands.flatMap((command) => commandParts(command, shared)),
    ...[...shared.values()].flatMap((section) => sectionParts(section, '##')),
  ]
    .join('\n\n')
    .concat('\n');
}

function textsOf(command: Command): HelpTexts {
  const texts = helpTextsOf(command);
  if (texts === undefined) throw new TypeError(`${command.name()} has no help`);
  return texts;
}

/** The sections that several commands have, by title. */
function sharedSections(commands: readonly Command[]): ReadonlyMap<string, HelpSection> {
  const all = commands.flatMap((command) => textsOf(command).sections ?? []);
  const groups = Map.groupBy(all, ({ title }) => title);
  const shared = [...groups.values()].flatMap(([first, ...others]) =>
    first !== undefined && others.length > 0 && others.every((other) => other === first) ? [first] : [],
  );
  return new Map(shared.map((section) => [section.title, section]));
}

function commandRow(command: Command): string[] {
  return [`[\`${command.name()}\`](#${command.name()})`, textsOf(command).summary];
}

function commandParts(command: Command, shared: ReadonlyMap<string, HelpSection>): string[] {
  const { about, examples, sections = [] } = textsOf(command);
  const shown = examples.map(({ comment, command: line }) => `# ${comment}\n${dedented(line)}`);
  const groups = Map.groupBy(command.options, ({ helpGroupHeading }) => helpGroupHeading);
  const links = sections.filter(({ title }) => shared.has(title)).map(({ title }) => `[${title}](#${anchorOf(title)})`);
  return [
    `## \`${command.name()}\``,
    `\`kubevirt-datamover ${command.name()} ${command.usage()}\``,
    ...about.split('\n').map(escaped),
    `\`\`\`sh\n${shown.join('\n\n')}\n\`\`\``,
    ...[...groups].flatMap(([heading, options]) => [
      ...(heading === undefined ? [] : [heading]),
      optionTable(command, options),
    ]),
    ...(links.length === 0 ? [] : [`See also: ${links.join(', ')}.`]),
    ...sections.filter(({ title }) => !shared.has(title)).flatMap((section) => sectionParts(section, '###')),
  ];
}

/** The lines of a command after its first are indented for `--help`. */
function dedented(line: string): string {
  return line.replaceAll('\n  ', '\n');
}

function sectionParts({ title, lines }: HelpSection, level: string): string[] {
  const [, name = title, remark] = /^(.+?) \((.+)\)$/.exec(title) ?? [];
  return [`${level} ${name}`, ...(remark === undefined ? [] : [`${remark}:`]), `\`\`\`\n${lines.join('\n')}\n\`\`\``];
}

function anchorOf(title: string): string {
  return title.toLowerCase().replaceAll(' ', '-');
}

function optionTable(command: Command, options: readonly Option[]): string {
  const help = command.createHelp();
  return table(
    ['flag', 'effect'],
    options.map((option) => [`\`${help.optionTerm(option)}\``, escaped(help.optionDescription(option))]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Text in which Markdown would take characters for its own. */
function escaped(text: string): string {
  return text.replace(/[*_|<>]/g, (character) => `\\${character}`);
}
