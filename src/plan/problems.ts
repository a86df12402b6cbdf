// What is wrong with a plan, said with its place: `pvcs[1].chain[0].size`.
import type { z } from 'zod';
import type { Problem } from '../errors.ts';
import type { IssueParams } from './schema.ts';
import type { Place, ReadText } from './yaml-text.ts';

/** The words for what zod finds by itself; the document's own rules bring their words with them. */
export function formatIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type') {
    if (issue.input === undefined) return 'is missing';
    if (issue.input === null) return 'has no value';
    const quote = issue.expected === 'string' ? '; put it in quotes' : '';
    return `expected ${TYPES.get(issue.expected) ?? issue.expected}, got ${typeOf(issue.input)}${quote}`;
  }
  if (issue.code === 'invalid_value') {
    if (issue.input === undefined) return 'is missing';
    return `expected ${issue.values.map(String).join(' or ')}, got ${showValue(issue.input)}`;
  }
  if (issue.code === 'too_small' && issue.origin === 'array') return 'is empty';
  return undefined;
}

/** One problem for an issue; `where` names the plan. */
export function issueProblem(issue: z.core.$ZodIssue, text: ReadText, where: string): Problem {
  const params: IssueParams = issue.code === 'custom' ? (issue.params ?? {}) : {};
  const path = issuePath(issue);
  const named = path.length === 0 ? '' : `${showPlace(path)}: `;
  return problemAt(`${named}${issue.message}`, { ...params, place: issuePlace(issue), text, where });
}

/** Where an issue is in the text: an unknown key is at its own place, not at the map that holds it. */
export function issuePlace(issue: z.core.$ZodIssue): Place {
  const [key] = issue.code === 'unrecognized_keys' ? issue.keys : [];
  return key === undefined ? issuePath(issue) : [...issuePath(issue), key];
}

function issuePath(issue: z.core.$ZodIssue): Place {
  return issue.path.filter((step) => typeof step !== 'symbol');
}

export interface ProblemAt {
  readonly place: Place;
  readonly text: ReadText;
  readonly where: string;
  readonly code?: Problem['code'];
  readonly hint?: string | undefined;
}

export function problemAt(message: string, { place, text, where, code = 'PLAN_INVALID', hint }: ProblemAt): Problem {
  const { line, column } = text.locate(place);
  return {
    ...pvcOf(place, text.data),
    code,
    message: `${where}: ${message} (line ${line}, column ${column})`,
    hint: hint ?? 'correct the plan; docs/plan.md describes its keys',
  };
}

function showPlace(place: Place): string {
  return place
    .map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`))
    .join('');
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ['string', 'text'],
  ['number', 'a number'],
  ['boolean', 'true or false'],
  ['object', 'a map of keys'],
  ['array', 'a list'],
  ['tuple', 'a list'],
]);

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map of keys';
  if (typeof value === 'string') return `the text ${showValue(value)}`;
  return `the ${typeof value} ${showValue(value)}`;
}

function showValue(value: unknown): string {
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length <= 60 ? shown : `${shown.slice(0, 57)}…`;
}

/** The name of the PVC that a place is in, when the plan gives it one. */
function pvcOf([top, index]: Place, data: unknown): { readonly pvc?: string } {
  const pvcs = property(data, 'pvcs');
  if (top !== 'pvcs' || typeof index !== 'number' || !Array.isArray(pvcs)) return {};
  const vmOf = (pvc: unknown): unknown => property(pvc, 'vm') ?? property(data, 'vm');
  const name = property(pvcs[index], 'name');
  if (typeof name !== 'string') return {};
  const vm = vmOf(pvcs[index]);
  const isQualified = typeof vm === 'string' && pvcs.some((other) => vmOf(other) !== vm);
  return { pvc: isQualified ? `${vm}/${name}` : name };
}

function property(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, key)?.value;
}
