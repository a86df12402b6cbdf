// The Job that restores one PVC of a plan. Pure.
import { createHash } from 'node:crypto';
import type { Job, PodFailurePolicy } from 'kubernetes-types/batch/v1.js';
import type {
  Container,
  PodSecurityContext,
  ResourceRequirements,
  SecurityContext,
  Volume,
  VolumeMount,
} from 'kubernetes-types/core/v1.js';
import { permanentStatuses } from '../exit-status.ts';
import type { Plan, PlanPvc } from '../plan/plan.ts';
import type { ManifestOptions } from './options.ts';
import { POD_PATHS } from './pod-plan.ts';
import { scratchVolume } from './scratch-volume.ts';
import { targetVolume } from './target-volume.ts';

export interface JobContext {
  readonly plan: Plan;
  readonly planId: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Keys of the Secret that are mounted. */
  readonly files: readonly string[];
  /** The name of the ConfigMap that holds `plan.yaml`. */
  readonly configMap: string;
}

const CONTAINER = 'restore';

/** What comes again by itself (the source is unreachable, the pod was killed or moved) is tried again this often. */
const BACKOFF_LIMIT = 6;

export function buildJob(pvc: PlanPvc, context: JobContext, options: ManifestOptions): Job {
  const { volumes, container } = buildContainer(pvc, context, options);
  const labels = { ...context.labels };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(pvc.name, context.planId),
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      labels,
    },
    spec: {
      backoffLimit: BACKOFF_LIMIT,
      podFailurePolicy: FAILURE_POLICY,
      template: {
        metadata: { labels },
        spec: {
          restartPolicy: 'Never',
          ...(options.serviceAccount === undefined ? {} : { serviceAccountName: options.serviceAccount }),
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          securityContext: podSecurity(options),
          containers: [container],
          volumes,
        },
      },
    },
  };
}

/** A failure that a new pod would repeat fails the Job at once. A pod that its node evicted does not count. */
const FAILURE_POLICY: PodFailurePolicy = {
  rules: [
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    {
      action: 'FailJob',
      onExitCodes: { containerName: CONTAINER, operator: 'In', values: permanentStatuses() },
    },
  ],
};

/** At most 57 characters, since a Job's name is a label's value (63) and its pods' names add to it. */
function jobName(pvc: string, planId: string): string {
  const words = pvc
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '');
  const hash = createHash('sha256').update(`${planId}/${pvc}`).digest('hex').slice(0, 8);
  return ['restore', words, hash].filter((part) => part !== '').join('-');
}

function buildContainer(
  pvc: PlanPvc,
  context: JobContext,
  options: ManifestOptions,
): { readonly volumes: Volume[]; readonly container: Container } {
  const target = targetVolume(pvc, options.claims);
  const scratch = scratchVolume(pvc, context.plan, options);
  const own = ownVolumes(context, options);
  const mounts: VolumeMount[] = [
    ...own.mounts,
    ...(scratch === undefined ? [] : [{ name: scratch.name, mountPath: POD_PATHS.scratch }]),
    ...(target.mount === undefined ? [] : [target.mount]),
  ];
  return {
    volumes: [...own.volumes, ...(scratch === undefined ? [] : [scratch]), target.volume],
    container: {
      name: CONTAINER,
      image: options.image,
      args: buildArgs(pvc, options),
      resources: RESOURCES,
      securityContext: CONTAINER_SECURITY,
      terminationMessagePolicy: 'FallbackToLogsOnError',
      volumeMounts: mounts,
      ...(target.device === undefined ? {} : { volumeDevices: [target.device] }),
    },
  };
}

/** A claim for scratch may be shared by all Jobs of a plan, so each works in a folder of its own there. */
function buildArgs({ name }: PlanPvc, { strategy, scratch, force, acceptUnproven }: ManifestOptions): string[] {
  const shared = scratch.kind === 'claim' && strategy !== 'stream';
  return [
    'restore',
    `${POD_PATHS.plan}/plan.yaml`,
    `--pvc=${name}`,
    ...(strategy === 'staged' ? [] : [`--strategy=${strategy}`]),
    ...(shared ? [`--scratch=${POD_PATHS.scratch}/${name}`] : []),
    ...(force ? ['--force'] : []),
    ...(acceptUnproven === true ? ['--accept-unproven'] : []),
  ];
}

/** The plan, the credentials, and a little memory for sockets, since the root file system is read-only. */
function ownVolumes(
  { configMap, files }: JobContext,
  { secret }: ManifestOptions,
): { readonly volumes: Volume[]; readonly mounts: VolumeMount[] } {
  const items = files.map((key) => ({ key, path: key }));
  const withSecret = secret !== undefined;
  return {
    volumes: [
      { name: 'plan', configMap: { name: configMap } },
      ...(withSecret ? [{ name: 'credentials', secret: { secretName: secret, defaultMode: 0o440, items } }] : []),
      { name: 'runtime', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } },
    ],
    mounts: [
      { name: 'plan', mountPath: POD_PATHS.plan, readOnly: true },
      ...(withSecret ? [{ name: 'credentials', mountPath: POD_PATHS.credentials, readOnly: true }] : []),
      { name: 'runtime', mountPath: POD_PATHS.runtime },
    ],
  };
}

/**
 * Our process stays under 300 MiB (design section 9), qemu-img takes up to some 150 MiB beside it, and the limit leaves
 * room for pages that are not written back yet. No limit of CPU: it would only make the restore longer.
 */
const RESOURCES: ResourceRequirements = {
  requests: { cpu: '500m', memory: '512Mi' },
  limits: { memory: '1Gi' },
};

const CONTAINER_SECURITY: SecurityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
};

/** No uid is asked for unless it is root's, so that OpenShift gives one of the namespace's range; else it is the image's. */
function podSecurity({ runAsRoot, fsGroup }: ManifestOptions): PodSecurityContext {
  return {
    ...(runAsRoot ? { runAsUser: 0, runAsGroup: 0 } : { runAsNonRoot: true }),
    ...(fsGroup === undefined ? {} : { fsGroup }),
    seccompProfile: { type: 'RuntimeDefault' },
  };
}
