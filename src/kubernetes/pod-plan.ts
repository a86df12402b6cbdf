// The plan as pods read it: the files that it names come from a Secret, scratch lies where it is mounted. Pure.
import { basename } from 'node:path';
import type { Problem } from '../errors.ts';
import { headroomPercentOf, type Plan, type PlanSource } from '../plan/plan.ts';

/** Where pods find what is mounted for them. */
export const POD_PATHS = {
  plan: '/plan',
  credentials: '/credentials',
  scratch: '/scratch',
  runtime: '/run/kubevirt-datamover',
} as const;

/** The key that Velero's own Secrets have. */
const CREDENTIALS_KEY = 'cloud';

const FILE_OPTIONS = ['credentialsFile', 'sasTokenFile', 'caFile', 'sseCustomerKeyFile'] as const;

type FileOption = (typeof FILE_OPTIONS)[number];

type BucketSource = Exclude<PlanSource, { readonly kind: 'directory' }>;

export interface PodPlan {
  readonly plan: Plan;
  /** The keys that the Secret must have. */
  readonly files: readonly string[];
  readonly problems: readonly Problem[];
}

/** `secret` is the Secret's name; without one the plan must name no files. */
export function planForPods(plan: Plan, secret: string | undefined): PodPlan {
  const { source } = plan;
  if (source.kind === 'directory') return { plan, files: [], problems: [noDirectory(source.directory)] };
  const named = namedFiles(source);
  const problems = [
    ...(secret === undefined && named.length > 0 ? [noSecret(named)] : []),
    ...named.flatMap(({ path }) => sameKeyProblems(path, named)),
  ];
  const moved = secret === undefined ? {} : inSecret(named);
  const headroomPercent = headroomPercentOf(plan);
  return {
    plan: { ...plan, source: { ...source, ...moved }, scratch: { path: POD_PATHS.scratch, headroomPercent } },
    files: Object.values(moved).map((path) => basename(path)),
    problems,
  };
}

interface NamedFile {
  readonly option: FileOption;
  readonly path: string;
}

function namedFiles(source: BucketSource): NamedFile[] {
  const files: Partial<Record<FileOption, string>> = source;
  return FILE_OPTIONS.flatMap((option) => {
    const path = files[option];
    return path === undefined ? [] : [{ option, path }];
  });
}

/** A Secret without a file for credentials is taken for Velero's own; a shared access signature needs no other. */
function inSecret(named: readonly NamedFile[]): Partial<Record<FileOption, string>> {
  const withKeys = named.some(({ option }) => option === 'credentialsFile' || option === 'sasTokenFile');
  const files: readonly NamedFile[] = withKeys
    ? named
    : [{ option: 'credentialsFile', path: CREDENTIALS_KEY }, ...named];
  return Object.fromEntries(files.map(({ option, path }) => [option, mounted(path)]));
}

function mounted(path: string): string {
  return `${POD_PATHS.credentials}/${basename(path)}`;
}

/** A Secret is flat: two files of one name, from different folders, are one key. */
function sameKeyProblems(path: string, named: readonly NamedFile[]): Problem[] {
  const key = basename(path);
  if (!/^[-._a-zA-Z0-9]{1,253}$/.test(key)) {
    const hint = 'rename it: letters, digits, -, _ and .';
    return [{ code: 'PLAN_INVALID', message: `the file name ${key} is not a valid key of a Secret (${path})`, hint }];
  }
  const other = named.find((each) => each.path !== path && basename(each.path) === key);
  if (other === undefined || other.path < path) return [];
  const message = `${path} and ${other.path} have the same file name, which a Secret cannot contain twice`;
  return [{ code: 'PLAN_INVALID', message, hint: 'rename one of them' }];
}

function noSecret(named: readonly NamedFile[]): Problem {
  const list = named.map(({ option, path }) => `${option} ${path}`).join(', ');
  const files = named.map(({ path }) => `--from-file=${path}`).join(' ');
  return {
    code: 'USAGE',
    message: `the plan names files that pods do not have: ${list}`,
    hint: `kubectl create secret generic NAME ${files}; then add --secret NAME`,
  };
}

function noDirectory(directory: string): Problem {
  return {
    code: 'PLAN_INVALID',
    message: `the plan's source is the directory ${directory}, which pods cannot access`,
    hint: 'use a plan whose source is a bucket or container, or restore on the machine that has the directory',
  };
}
