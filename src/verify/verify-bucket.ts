// `verify --source`: the verdict on everything that a bucket holds, without a plan file.
import type { Problem } from '../errors.ts';
import { withSource } from '../inventory/open-source.ts';
import { recordReads } from '../paths/recorded-store.ts';
import { secondsSince } from '../progress.ts';
import type { VerifiedPvc, VerifyResult } from '../result.ts';
import { type BucketPlanOptions, planOfBucket } from './bucket-plan.ts';
import type { VerifyOptions } from './options.ts';
import { verifyPlan } from './verify.ts';

export type VerifyBucketOptions = Omit<VerifyOptions, 'plan' | 'pvcs'> & Omit<BucketPlanOptions, 'progress' | 'signal'>;

/**
 * As `verifyPlan`. A VM or a backup whose disks are not known is broken as a whole, under its own name. Rejects where nothing can be
 * looked for: the source does not answer, the backup does not exist.
 */
export async function verifyBucket(options: VerifyBucketOptions): Promise<VerifyResult> {
  const began = performance.now();
  const { source, paths } = options;
  const { plan, resolved, problems } = await withSource(options, (store) =>
    planOfBucket(recordReads(store, source, paths), options),
  );
  const whole = brokenAsAWhole(problems);
  if (plan === undefined) return withProblems({ ...EMPTY, pvcs: [], seconds: secondsSince(began) }, problems, whole);
  const result = await verifyPlan({ ...options, plan, resolved });
  return withProblems({ ...result, seconds: secondsSince(began) }, problems, whole);
}

const EMPTY = { version: 1, result: 'ok', problems: [] } as const;

function brokenAsAWhole(problems: readonly Problem[]): VerifiedPvc[] {
  const groups = Map.groupBy(problems, ({ pvc }) => pvc);
  return [...groups].flatMap(([name, own]) =>
    name === undefined ? [] : [{ name, verdict: 'broken' as const, problems: own, layers: [] }],
  );
}

function withProblems(result: VerifyResult, added: readonly Problem[], whole: readonly VerifiedPvc[]): VerifyResult {
  const problems = [...result.problems, ...added];
  const [first] = problems;
  if (first === undefined) return result;
  const { code, message, hint } = first;
  return {
    ...result,
    result: result.result === 'cancelled' ? 'cancelled' : 'failed',
    pvcs: [...result.pvcs, ...whole],
    problems,
    error: { code, message, hint },
  };
}
