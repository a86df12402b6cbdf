// Conflicts between paths as problems: which code, both paths and what each of them is, and what to type instead.
import type { ErrorCode, Problem } from '../errors.ts';
import type { ReadPath, WrittenKind, WrittenPath } from './uses.ts';

export type Relation =
  | { readonly kind: 'same' | 'device' | 'inside' | 'contains' | 'holds' }
  /** Written bytes end up in `file`, behind a loop device, which is the other path or inside it. */
  | { readonly kind: 'stored'; readonly file: string };

/** `one` is the path to change. */
export function describeConflict(one: WrittenPath, other: ReadPath | WrittenPath, relation: Relation): Problem {
  const [ours, theirs] = [pathName(one), pathName(other)];
  const code = relation.kind === 'holds' && one.kind === 'target' ? 'TARGET_BUSY' : CODES[one.kind];
  const message = MESSAGES[relation.kind](ours, theirs, relation.kind === 'stored' ? relation.file : '');
  return pathProblem(one, code, message);
}

/** `why` is what is wrong with the file that would be replaced. */
export function describeRefusal(one: WrittenPath, why: string): Problem {
  return pathProblem(one, CODES[one.kind], `${pathName(one)} ${why}`);
}

function pathProblem(one: WrittenPath, code: ErrorCode, message: string): Problem {
  return { ...(one.pvc === undefined ? {} : { pvc: one.pvc }), code, message, hint: one.hint ?? HINTS[one.kind](one) };
}

const MESSAGES: Readonly<Record<Relation['kind'], (ours: string, theirs: string, file: string) => string>> = {
  same: (ours, theirs) => `${ours} and ${theirs} are the same file`,
  device: (ours, theirs) => `${ours} and ${theirs} are the same device, or share a part of it`,
  inside: (ours, theirs) => `${ours} is inside ${theirs}`,
  contains: (ours, theirs) => `${ours} contains ${theirs}`,
  holds: (ours, theirs) => `${ours} holds the data of ${theirs}`,
  stored: (ours, theirs, file) => `${ours} is stored in the file ${file}, which is part of ${theirs}`,
};

const CODES: Readonly<Record<WrittenKind, ErrorCode>> = {
  'work directory': 'SCRATCH_UNUSABLE',
  target: 'PLAN_INVALID',
  socket: 'USAGE',
  'saved plan': 'USAGE',
  report: 'USAGE',
  'termination log': 'USAGE',
  output: 'USAGE',
};

const HINTS: Readonly<Record<WrittenKind, (path: WrittenPath) => string>> = {
  'work directory': () => 'choose another directory, for example --scratch /var/tmp/scratch',
  target: ({ pvc = '' }) => `set the target of PVC ${pvc} to another device or file, for example /var/tmp/${pvc}.raw`,
  socket: () => 'choose another path, for example --socket /tmp/disk.sock',
  'saved plan': () => 'choose another file, for example --save-plan plan.yaml',
  report: () => 'choose another file, for example --report report.json',
  'termination log': () => 'set KUBEVIRT_DM_TERMINATION_LOG to another file, or unset it',
  output: () => 'redirect it to another file',
};

function pathName(path: ReadPath | WrittenPath): string {
  if (path.label !== undefined) return path.label;
  return `${'kind' in path ? path.kind : path.what} ${path.path}`;
}
