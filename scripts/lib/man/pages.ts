// The manual pages, made of the definitions that `--help` is made of: there is no second text.
import { Writable } from 'node:stream';
import type { Command, Help, Option } from 'commander';
import { type HelpSection, helpTextsOf } from '../../../src/cli/flags/help.ts';
import { buildProgram } from '../../../src/cli/program.ts';
import { programVersion } from '../../../src/cli/version.ts';
import { EXIT_STATUSES } from '../../../src/exit-status.ts';
import { heading, item, literal, paragraph, quoted, roffText } from './roff.ts';

export interface ManPage {
  /** `kubevirt-datamover-restore.1` */
  readonly file: string;
  readonly text: string;
}

/** One page for the program, and one for each command. */
export function manPages(): readonly ManPage[] {
  const nowhere = new Writable({ write: (_bytes, _encoding, done) => done() });
  const program = buildProgram({ stdout: nowhere, stderr: nowhere }, async () => {});
  const names = [program, ...program.commands].map(nameOf);
  return [program, ...program.commands].map((command) => ({
    file: `${nameOf(command)}.1`,
    text: pageOf(command, { program, others: names.filter((name) => name !== nameOf(command)) }),
  }));
}

interface Around {
  readonly program: Command;
  /** Names of all other pages. */
  readonly others: readonly string[];
}

function pageOf(command: Command, { program, others }: Around): string {
  const texts = helpTextsOf(command);
  if (texts === undefined) throw new TypeError(`${command.name()} has no help`);
  const { summary, about, examples, sections = [] } = texts;
  const help = command.createHelp();
  const name = nameOf(command);
  const { commands } = command;
  const parts = [
    `.TH ${quoted(name.toUpperCase())} 1 "" ${quoted(`kubevirt-datamover ${programVersion()}`)} "User Commands"`,
    // Words are not broken, and lines not stretched: both spoil flags and paths.
    '.nh\n.ad l',
    heading('Name'),
    `${roffText(name)} \\- ${roffText(summary)}`,
    heading('Synopsis'),
    synopsisOf(command, program),
    heading('Description'),
    ...about.split('\n').map(paragraph),
    ...(commands.length === 0
      ? []
      : [heading('Commands'), ...commands.map((one) => item(help.subcommandTerm(one), one.summary()))]),
    ...argumentParts(help, command),
    heading('Options'),
    ...optionItems(help, [...command.options, ...(command === program ? [] : program.options)]),
    item('--help', 'print this help'),
    ...sections.flatMap(sectionParts),
    heading('Exit status'),
    ...EXIT_STATUSES.map(({ status, meaning }) => item(String(status), meaning)),
    heading('Examples'),
    ...examples.flatMap(({ comment, command: line }) => [paragraph(comment), literal(line.split('\n'))]),
    heading('See also'),
    others.map((other) => `.BR ${quoted(other)} (1)`).join('\n'),
  ];
  return `${parts.join('\n')}\n`;
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${command.parent.name()}-${command.name()}`;
}

function synopsisOf(command: Command, program: Command): string {
  const own = command === program ? '' : ` ${command.name()}`;
  return `.B ${quoted(`${program.name()}${own}`)}\n${roffText(command.usage())}`;
}

function argumentParts(help: Help, command: Command): string[] {
  const described = help.visibleArguments(command);
  if (described.length === 0) return [];
  return [
    heading('Arguments'),
    ...described.map((argument) => item(help.argumentTerm(argument), help.argumentDescription(argument))),
  ];
}

/** `Environment (prefix X)`: a heading is one word or two. */
function sectionParts({ title, lines }: HelpSection): string[] {
  const [, name = title, remark] = /^(.+?) \((.+)\)$/.exec(title) ?? [];
  return [heading(name), ...(remark === undefined ? [] : [paragraph(remark)]), literal(lines)];
}

/** The words of each option as `--help` has them: choices and default included. */
function optionItems(help: Help, options: readonly Option[]): string[] {
  return options.map((option) => item(help.optionTerm(option), help.optionDescription(option)));
}
