// The CronJob that verifies what a bucket holds, again and again: `verify --source` in a pod that can read and nothing else. Pure.
import { createHash } from 'node:crypto';
import type { CronJob } from 'kubernetes-types/batch/v1.js';
import { DatamoverError } from '../errors.ts';
import type { Plan, PlanSource } from '../plan/plan.ts';
import { sourceFlags } from '../plan/source-flags.ts';
import type { ManifestOptions, Scrub } from './options.ts';
import { FAILURE_POLICY, ownVolumes, podTemplate } from './pod.ts';
import { planForPods } from './pod-plan.ts';

/**
 * Of the plan only the source counts. The name is that of the source: two schedules for one bucket are one object. PLAN_INVALID and
 * USAGE as for Jobs.
 */
export function buildScrub(plan: Plan, scrub: Scrub, options: ManifestOptions): CronJob {
  const { plan: forPods, files, problems } = planForPods(plan, options.secret);
  const { source } = forPods;
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  const { volumes, mounts } = ownVolumes({ files }, options);
  const labels = { 'app.kubernetes.io/name': 'kubevirt-datamover', 'app.kubernetes.io/component': 'scrub' };
  return {
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: {
      name: scrubName(source),
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      labels,
    },
    spec: {
      schedule: scrub.schedule,
      concurrencyPolicy: 'Forbid',
      successfulJobsHistoryLimit: 3,
      failedJobsHistoryLimit: 3,
      jobTemplate: {
        metadata: { labels },
        spec: {
          // A finding is a result: only a source that does not answer is asked again.
          backoffLimit: 1,
          podFailurePolicy: FAILURE_POLICY,
          template: podTemplate({ labels, args: scrubArgs(source, scrub), mounts, volumes, source }, options),
        },
      },
    },
  };
}

/** At most 52 characters, since the controller adds to the name of a CronJob. */
function scrubName(source: PlanSource): string {
  const hash = createHash('sha256')
    .update(JSON.stringify(identityOf(source)))
    .digest('hex');
  return `kubevirt-datamover-scrub-${hash.slice(0, 8)}`;
}

/** What makes a source another one. */
function identityOf(source: PlanSource): readonly string[] {
  switch (source.kind) {
    case 's3':
      return [source.endpoint ?? '', source.bucket, source.prefix ?? ''];
    case 'azure':
      return [source.endpoint ?? '', source.account, source.container, source.prefix ?? ''];
    case 'gcs':
      return ['gcs', source.endpoint ?? '', source.bucket, source.prefix ?? ''];
    case 'directory':
      return [source.directory];
  }
}

function scrubArgs(source: PlanSource, { maxRate }: Scrub): string[] {
  return [
    'verify',
    ...sourceFlags(source),
    '--latest',
    '--data',
    ...(maxRate === undefined ? [] : [`--max-rate=${maxRate}`]),
  ];
}
