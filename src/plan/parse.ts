// A plan's text → a `Plan`, or all that is wrong with it at once. Pure.
import { resolve } from 'node:path';
import { z } from 'zod';
import { DatamoverError, type Problem } from '../errors.ts';
import { omitUndefined } from '../omit-undefined.ts';
import { DEFAULT_HEADROOM_PERCENT, type Plan, type PlanSource } from './plan.ts';
import { formatIssue, issuePlace, issueProblem, problemAt } from './problems.ts';
import { type PlanDocument, planDocument } from './schema.ts';
import { backupOf, vmOf, withUniqueNames } from './vms.ts';
import { type ReadText, readText, type TextFlaw } from './yaml-text.ts';

export interface ParseOptions {
  /** Names the plan in messages: its path, or `standard input`. */
  readonly where: string;
  /** Absolute; what relative paths in the plan count from. */
  readonly folder: string;
}

/**
 * Throws PLAN_INVALID with every problem found, each with its place, line and column; CHAIN_BROKEN when the order of
 * written chains is all that is wrong.
 */
export function parsePlan(text: string, { where, folder }: ParseOptions): Plan {
  const nul = text.indexOf('\0');
  if (nul !== -1) throw binary(where, nul);
  const read = readText(text);
  if (read.flaws.length > 0) throw DatamoverError.fromProblems(flawProblems(read.flaws, where));
  if (read.data === undefined || read.data === null) throw empty(where);
  const { data: document, error } = planDocument.safeParse(read.data, { error: formatIssue });
  const problems = [
    ...inTextOrder(error?.issues ?? [], read).map((issue) => issueProblem(issue, read, where)),
    ...duplicateProblems(read, { where, folder }),
    ...(document === undefined ? [] : lookUpProblems(document, read, where)),
  ];
  if (document === undefined || problems.length > 0) throw combineProblems(problems);
  return toPlan(document, folder);
}

function inTextOrder(issues: readonly z.core.$ZodIssue[], text: ReadText): readonly z.core.$ZodIssue[] {
  const placed = issues.map((issue) => ({ issue, ...text.locate(issuePlace(issue)) }));
  return placed.sort((a, b) => a.line - b.line || a.column - b.column).map(({ issue }) => issue);
}

/** PLAN_INVALID before CHAIN_BROKEN: the call is wrong before the backup is. */
function combineProblems(problems: readonly Problem[]): DatamoverError {
  const invalid = problems.filter(({ code }) => code === 'PLAN_INVALID');
  const others = problems.filter(({ code }) => code !== 'PLAN_INVALID');
  return DatamoverError.fromProblems([...invalid, ...others]);
}

/** A text that is no YAML at all may have a flaw in every byte. */
const MAX_FLAWS = 10;

function flawProblems(flaws: readonly TextFlaw[], where: string): Problem[] {
  return flaws
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .slice(0, MAX_FLAWS)
    .map(({ message, hint, line, column }) => ({
      code: 'PLAN_INVALID',
      message: `${where}: line ${line}, column ${column}: ${message}`,
      hint,
    }));
}

function binary(where: string, offset: number): DatamoverError {
  return new DatamoverError('PLAN_INVALID', `${where}: not a text file: NUL at offset ${offset}`, {
    hint: 'use a plan in YAML or JSON, encoded in UTF-8',
  });
}

function empty(where: string): DatamoverError {
  return new DatamoverError('PLAN_INVALID', `${where} is empty`, {
    hint: 'run `kubevirt-datamover plan` to create a plan',
  });
}

/** Just names, VMs and targets, of any document, so that these rules are checked beside others that it breaks. */
const namesAndTargets = z
  .object({
    vm: z.string().exactOptional().catch(''),
    pvcs: z.array(
      z
        .object({
          name: z.string().exactOptional().catch(''),
          vm: z.string().exactOptional().catch(''),
          target: z.string().exactOptional().catch(''),
        })
        .catch({}),
    ),
  })
  .catch({ pvcs: [] });

function duplicateProblems(text: ReadText, { where, folder }: ParseOptions): Problem[] {
  const { vm: planVm = '', pvcs } = namesAndTargets.parse(text.data);
  const names = new Map<string, number>();
  const targets = new Map<string, number>();
  const problems: Problem[] = [];
  for (const [index, { name, vm = planVm, target }] of pvcs.entries()) {
    const sameName = name ? firstOf(names, JSON.stringify([vm, name]), index) : undefined;
    const sameTarget = target ? firstOf(targets, resolve(folder, target), index) : undefined;
    if (sameName !== undefined) {
      const hint = 'name each PVC of a VM once; to restore one disk twice, use two plans';
      const place = ['pvcs', index, 'name'];
      problems.push(
        problemAt(`pvcs[${index}].name: ${name} is also the name of pvcs[${sameName}]`, { place, text, where, hint }),
      );
    }
    if (sameTarget !== undefined) {
      const hint = 'give each PVC its own target';
      const place = ['pvcs', index, 'target'];
      problems.push(
        problemAt(`pvcs[${index}].target: ${target} is also the target of pvcs[${sameTarget}]`, {
          place,
          text,
          where,
          hint,
        }),
      );
    }
  }
  return problems;
}

function firstOf(seen: Map<string, number>, value: string, index: number): number | undefined {
  const first = seen.get(value);
  if (first === undefined) seen.set(value, index);
  return first;
}

/** `backup` and `vm` are where chains are looked up: each needs the other, and a PVC without a chain needs both. */
function lookUpProblems(plan: PlanDocument, text: ReadText, where: string): Problem[] {
  const vmHint = 'add `vm: namespace/name`, the VM whose backup it is';
  const problems: Problem[] = [];
  if (plan.backup !== undefined && plan.pvcs.some((pvc) => vmOf(plan, pvc) === undefined)) {
    problems.push(problemAt('backup: requires `vm`', { place: ['backup'], text, where, hint: vmHint }));
  }
  for (const [index, pvc] of plan.pvcs.entries()) {
    const place = ['pvcs', index];
    if (pvc.backup !== undefined && vmOf(plan, pvc) === undefined) {
      const message = `pvcs[${index}].backup: requires \`vm\``;
      problems.push(problemAt(message, { place: [...place, 'backup'], text, where, hint: vmHint }));
    } else if (pvc.chain === undefined && backupOf(plan, pvc) === undefined) {
      const hint = 'add a `chain`, or `backup` and `vm` to find the chain in the bucket';
      problems.push(problemAt(`pvcs[${index}]: no chain, and no backup to find it in`, { place, text, where, hint }));
    }
  }
  return problems;
}

function toPlan({ source, scratch, ...rest }: PlanDocument, folder: string): Plan {
  const { path, headroomPercent = DEFAULT_HEADROOM_PERCENT } = scratch ?? {};
  const named = withUniqueNames(rest.vm, rest.pvcs).map((pvc) => ({ ...pvc, target: resolve(folder, pvc.target) }));
  const [first, ...others] = named;
  if (first === undefined) throw new TypeError('a plan of no PVCs');
  return {
    ...rest,
    source: toSource(source, folder),
    ...(scratch === undefined
      ? {}
      : { scratch: { ...(path === undefined ? {} : { path: resolve(folder, path) }), headroomPercent } }),
    pvcs: [first, ...others],
  };
}

function toSource({ s3, azure, gcs, directory }: PlanDocument['source'], folder: string): PlanSource {
  const absolute = (path: string | undefined) => (path === undefined ? undefined : resolve(folder, path));
  if (gcs !== undefined) {
    const { credentialsFile, caFile, ...rest } = gcs;
    const files = { credentialsFile: absolute(credentialsFile), caFile: absolute(caFile) };
    return { kind: 'gcs', ...rest, ...omitUndefined(files) };
  }
  if (azure !== undefined) {
    const { credentialsFile, sasTokenFile, caFile, ...rest } = azure;
    return {
      kind: 'azure',
      ...rest,
      ...omitUndefined({ credentialsFile: absolute(credentialsFile) }),
      ...omitUndefined({ sasTokenFile: absolute(sasTokenFile), caFile: absolute(caFile) }),
    };
  }
  if (s3 === undefined) return { kind: 'directory', directory: resolve(folder, directory ?? '.') };
  const { credentialsFile, caFile, sseCustomerKeyFile, ...rest } = s3;
  return {
    kind: 's3',
    ...rest,
    ...(credentialsFile === undefined ? {} : { credentialsFile: resolve(folder, credentialsFile) }),
    ...(caFile === undefined ? {} : { caFile: resolve(folder, caFile) }),
    ...(sseCustomerKeyFile === undefined ? {} : { sseCustomerKeyFile: resolve(folder, sseCustomerKeyFile) }),
  };
}
