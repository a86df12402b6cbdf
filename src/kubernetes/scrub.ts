// The CronJob that verifies what a bucket holds, again and again: `verify --source` in a pod that can read and nothing else. Pure.
import { createHash } from 'node:crypto';
import type { CronJob } from 'kubernetes-types/batch/v1.js';
import { DatamoverError } from '../errors.ts';
import type { Plan, S3Source } from '../plan/plan.ts';
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
  if (problems.length > 0 || source.kind !== 's3') throw DatamoverError.fromProblems(problems);
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
function scrubName({ bucket, prefix = '', endpoint = '' }: S3Source): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([endpoint, bucket, prefix]))
    .digest('hex');
  return `kubevirt-datamover-scrub-${hash.slice(0, 8)}`;
}

function scrubArgs(source: S3Source, { maxRate }: Scrub): string[] {
  const { bucket, prefix, endpoint, region, profile, credentialsFile, caFile, sseCustomerKeyFile } = source;
  const named = { endpoint, region, profile, 'credentials-file': credentialsFile, 'ca-file': caFile };
  const values = Object.entries({ ...named, 'sse-customer-key-file': sseCustomerKeyFile });
  return [
    'verify',
    `--source=s3://${bucket}${prefix === undefined ? '' : `/${prefix}`}`,
    ...values.flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}=${value}`])),
    ...(source.forcePathStyle === true ? ['--path-style'] : []),
    ...(source.insecureSkipTLSVerify === true ? ['--insecure-skip-tls-verify'] : []),
    '--latest',
    '--data',
    ...(maxRate === undefined ? [] : [`--max-rate=${maxRate}`]),
  ];
}
