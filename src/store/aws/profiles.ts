// The profiles of the AWS tools' files: the plan's credentials file, which stands for both files as it does for the operator, or
// the user's own ~/.aws/credentials and ~/.aws/config.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatamoverError, systemCode } from '../../errors.ts';
import { type Environment, expandHome, homeDirectory, variable } from '../remote/environment.ts';
import { readNamedFile } from '../remote/named-file.ts';
import { type IniEntry, type IniFile, type IniProblem, type IniSection, parseIni } from './ini.ts';

export interface ProfileEntry extends IniEntry {
  readonly file: string;
}

export interface Profile {
  readonly name: string;
  /** Of the first of its sections: `FILE:LINE`. */
  readonly where: string;
  readonly entries: ReadonlyMap<string, ProfileEntry>;
}

export interface ProfileSet {
  /** What was read, for messages: one file or two. */
  readonly files: readonly string[];
  /** Where the user's own files are, if that is what was read. */
  readonly paths: { readonly config?: string; readonly credentials?: string };
  readonly profiles: ReadonlyMap<string, Profile>;
  /** [services NAME] */
  readonly services: ReadonlyMap<string, Profile>;
  /** Lines that are none; nobody reads a file that has some. */
  readonly problems: readonly (IniProblem & { readonly file: string })[];
}

/**
 * The plan's credentials file. [profile x] and [x] are the same profile, [x] wins, as for the operator, which reads the file as
 * credentials and as configuration. PLAN_INVALID, with the line, for a file that is not one.
 */
export async function readCredentialsFile(file: string): Promise<ProfileSet> {
  const bytes = await readNamedFile(file, 'credentials file');
  const ini = parseIni(decodeText(bytes, file));
  const set = joinFiles([{ file, ini, plain: true, prefixed: true }]);
  if (looksEncoded(bytes)) {
    throw new DatamoverError('PLAN_INVALID', `${file}: no section found, such as [default]`, {
      hint: 'the file looks like base64: decode it with `base64 -d` (a Secret encodes its data once)',
    });
  }
  const [problem] = set.problems;
  if (problem !== undefined) throw new DatamoverError('PLAN_INVALID', `${file}:${problem.line}: ${problem.why}`, HINT);
  if (ini.sections.length === 0) throw withoutSections(file, ini);
  return set;
}

/** The user's own files; what is missing or cannot be read is empty, as for the AWS tools. */
export async function readUserFiles(env: Environment): Promise<ProfileSet> {
  const home = homeDirectory(env);
  const pathOf = (name: string, base: string): string | undefined => {
    const named = variable(env, name);
    if (named !== undefined) return expandHome(named, env);
    return home === undefined ? undefined : join(home, '.aws', base);
  };
  const config = pathOf('AWS_CONFIG_FILE', 'config');
  const credentials = pathOf('AWS_SHARED_CREDENTIALS_FILE', 'credentials');
  const files = [
    ...(config === undefined ? [] : [{ file: config, plain: false, prefixed: true }]),
    ...(credentials === undefined ? [] : [{ file: credentials, plain: true, prefixed: false }]),
  ];
  const read = files.map(async (source) => ({ ...source, ini: parseIni(await readIfPossible(source.file)) }));
  const paths = {
    ...(config === undefined ? {} : { config }),
    ...(credentials === undefined ? {} : { credentials }),
  };
  return { ...joinFiles(await Promise.all(read)), paths };
}

/** The value of `key` in a profile; undefined when it is missing or empty. PLAN_INVALID for one over several lines. */
export function settingOf(profile: Profile | undefined, key: string): string | undefined {
  const entry = profile?.entries.get(key);
  if (entry === undefined) return undefined;
  const [nested] = entry.nested.values();
  const continuedAt = entry.continuedAt ?? nested?.line;
  if (continuedAt !== undefined) {
    throw new DatamoverError(
      'PLAN_INVALID',
      `${entry.file}:${continuedAt}: the value of ${key} (line ${entry.line}) continues on this line`,
      { hint: 'write the value in one line, and start every key at the beginning of its line' },
    );
  }
  return entry.value || undefined;
}

/** `section [x] not found` with what there is. */
export function missingProfile({ files, profiles }: ProfileSet, name: string): string {
  const held = [...profiles.keys()].map((known) => `[${known}]`).join(', ') || 'no profile';
  return `section [${name}] not found in ${files.join(' and ') || 'any file'}, which has ${held}`;
}

const HINT = {
  hint: 'write it as "[default]", "aws_access_key_id = …", "aws_secret_access_key = …", each on a line of its own',
};

interface Source {
  readonly file: string;
  readonly ini: IniFile;
  /** Sections [x] are profiles here. */
  readonly plain: boolean;
  /** Sections [profile x] are. */
  readonly prefixed: boolean;
}

/** Of a key that is found twice the later file's value counts, in one file that of [x] over [profile x], else the last. */
function joinFiles(sources: readonly Source[]): ProfileSet {
  const profiles = new Map<string, Profile>();
  const services = new Map<string, Profile>();
  for (const { file, ini, plain, prefixed } of sources) {
    const isProfile = ({ type, name }: IniSection): boolean =>
      type === 'profile' ? prefixed : type === '' && (plain || name === 'default');
    const found = ini.sections.filter(isProfile);
    for (const section of found.filter(({ type }) => type === 'profile')) add(profiles, section, file);
    for (const section of found.filter(({ type }) => type === '')) add(profiles, section, file);
    for (const section of ini.sections.filter(({ type }) => type === 'services')) add(services, section, file);
  }
  const problems = sources.flatMap(({ file, ini }) => ini.problems.map((problem) => ({ ...problem, file })));
  return { files: sources.map(({ file }) => file), paths: {}, profiles, services, problems };
}

function add(into: Map<string, Profile>, { name, line, entries }: IniSection, file: string): void {
  const known = into.get(name);
  const added = [...entries].map(([key, entry]) => [key, { ...entry, file }] as const);
  into.set(name, {
    name,
    where: known?.where ?? `${file}:${line}`,
    entries: new Map([...(known?.entries ?? []), ...added]),
  });
}

async function readIfPossible(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return '';
  }
}

/** UTF-8. Windows writes UTF-16 where nothing else is asked for, which every tool would take for an empty file. */
function decodeText(bytes: Buffer, file: string): string {
  if (!bytes.includes(0)) return bytes.toString('utf8');
  throw new DatamoverError('PLAN_INVALID', `${file}: credentials file is not UTF-8 text`, {
    hint: 'it looks like UTF-16 or a binary file: save it as UTF-8',
  });
}

function withoutSections(file: string, { outsideLine }: IniFile): DatamoverError {
  const where = outsideLine === undefined ? file : `${file}:${outsideLine}`;
  return new DatamoverError('PLAN_INVALID', `${where}: no section found, such as [default]`, {
    hint: 'put a line [default] above the keys',
  });
}

/** Longer than a word, and nothing that a line of the format has. */
function looksEncoded(bytes: Buffer): boolean {
  return /^\s*[A-Za-z0-9+/]{24}[A-Za-z0-9+/=\s]*$/.test(bytes.toString('latin1'));
}
