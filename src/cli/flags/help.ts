// The shape of each command's help: what it does and examples first, then flags, environment, exit statuses.
import type { Command } from 'commander';
import { EXIT_STATUSES } from '../../exit-status.ts';

export interface HelpTexts {
  /** One line, for the list of commands. */
  readonly summary: string;
  /** What it does, in a few sentences; paragraphs are one line each, and are wrapped. */
  readonly about: string;
  readonly examples: readonly { readonly comment: string; readonly command: string }[];
  /** More sections, each a title and its lines. */
  readonly sections?: readonly HelpSection[];
}

export interface HelpSection {
  readonly title: string;
  readonly lines: readonly string[];
}

const ABOUT_WIDTH = 78;

const TEXTS = new WeakMap<Command, HelpTexts>();

/** What `addHelp` was given: the manual pages are made of it too. */
export function helpTextsOf(command: Command): HelpTexts | undefined {
  return TEXTS.get(command);
}

/** Gives `command` its help. */
export function addHelp(command: Command, texts: HelpTexts): Command {
  const { summary, about, examples, sections = [] } = texts;
  TEXTS.set(command, texts);
  const shown = examples.flatMap(({ comment, command: line }) => [`  # ${comment}`, `  ${line}`]);
  return command
    .summary(summary)
    .description([...about.split('\n').map(wrap), '', 'Examples:', ...shown].join('\n'))
    .addHelpText('after', () => ['', ...sections.map(sectionText), exitStatusHelp(), ''].join('\n'));
}

/** Wrapped here, since commander leaves any text with indented lines, such as examples, alone. */
function wrap(paragraph: string): string {
  const lines: string[] = [];
  let line = '';
  for (const word of paragraph.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > ABOUT_WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join('\n');
}

function sectionText({ title, lines }: HelpSection): string {
  return `${[`${title}:`, ...lines.map((line) => `  ${line}`)].join('\n')}\n`;
}

export const STRATEGIES_SECTION: HelpSection = {
  title: 'Strategies',
  lines: [
    'staged      downloads the layers to scratch, rebases them, converts the disk to the target',
    'staged-raw  like staged, but builds the raw image in scratch first and writes to the',
    '            target only after it is complete and checked',
    'stream      needs no scratch: reads the layers from the source during the restore',
  ],
};

export const CREDENTIALS_SECTION: HelpSection = {
  title: 'Credentials',
  lines: [
    "The plan's credentialsFile (or --credentials-file) and profile; without them, as in the AWS CLI:",
    'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a web identity, ~/.aws, the machine.',
    'Azure: AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, an identity by AZURE_TENANT_ID and',
    'AZURE_CLIENT_ID, the identity of the machine.',
    'Google Cloud: GOOGLE_APPLICATION_CREDENTIALS, a login with gcloud, the identity of the machine.',
    'HTTPS_PROXY, HTTP_PROXY, NO_PROXY and AWS_CA_BUNDLE are honoured; docs/environment.md has all.',
  ],
};

/** The table of exit statuses. */
function exitStatusHelp(): string {
  const lines = EXIT_STATUSES.map(({ status, meaning }) => `  ${String(status).padStart(3)}  ${meaning}`);
  return ['Exit status:', ...lines].join('\n');
}
