// The Job that restores one PVC of a plan. Pure.
import type { Job, PodFailurePolicy } from 'kubernetes-types/batch/v1.js';
import type {
  Container,
  PodSecurityContext,
  PodSpec,
  ResourceRequirements,
  SecurityContext,
  Volume,
  VolumeMount,
} from 'kubernetes-types/core/v1.js';
import { permanentStatuses } from '../exit-status.ts';
import type { PlanPvc } from '../plan/plan.ts';
import { jobName } from './names.ts';
import type { ManifestOptions, Scheduling } from './options.ts';
import type { PvcToRestore, VmPart } from './part.ts';
import { POD_PATHS } from './pod-plan.ts';
import { scratchVolume } from './scratch-volume.ts';
import { targetVolume } from './target-volume.ts';

export interface JobContext {
  readonly part: VmPart;
  /** Of all objects of the plan. */
  readonly labels: Readonly<Record<string, string>>;
  /** Keys of the Secret that are mounted. */
  readonly files: readonly string[];
  /** The name of the ConfigMap that holds `plan.yaml`. */
  readonly configMap: string;
}

const CONTAINER = 'restore';

/** What comes again by itself (the source is unreachable, the pod was killed or moved) is tried again this often. */
const BACKOFF_LIMIT = 6;

export function buildJob(one: PvcToRestore, context: JobContext, options: ManifestOptions): Job {
  const { part, labels } = context;
  const { volumes, container } = buildContainer(one, context, options);
  const { vm, planId, isOneOfSeveral } = part;
  const { queue, ttlSeconds } = options.scheduling ?? {};
  const words = vm === undefined || !isOneOfSeveral ? [one.pvc.name] : [vm.name, one.pvc.name];
  const annotations = isOneOfSeveral ? { annotations: part.annotationsOf(one.pvc) } : {};
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name: jobName(words, `${planId}/${one.pvc.name}`),
      ...(part.namespace === undefined ? {} : { namespace: part.namespace }),
      labels: { ...labels, ...(queue === undefined ? {} : { [QUEUE_LABEL]: queue }) },
      ...annotations,
    },
    spec: {
      ...(queue === undefined ? {} : { suspend: true }),
      backoffLimit: BACKOFF_LIMIT,
      ...(ttlSeconds === undefined ? {} : { ttlSecondsAfterFinished: ttlSeconds }),
      podFailurePolicy: FAILURE_POLICY,
      template: {
        metadata: { labels: { ...labels, [PLAN_LABEL]: planId }, ...annotations },
        spec: {
          restartPolicy: 'Never',
          ...(options.serviceAccount === undefined ? {} : { serviceAccountName: options.serviceAccount }),
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          ...placement(options.scheduling),
          securityContext: podSecurity(options),
          containers: [container],
          volumes,
        },
      },
    },
  };
}

/** What selects all objects of one plan. A Job's pods have their VM's: a template cannot be changed when the plan gets more VMs. */
export const PLAN_LABEL = 'kubevirt-datamover/plan';

/** Kueue starts a suspended Job when the queue has quota for it (Kueue documentation, "Run a Kubernetes Job"). */
const QUEUE_LABEL = 'kueue.x-k8s.io/queue-name';

function placement({ priorityClass, nodeSelector, tolerations }: Scheduling = {}): Partial<PodSpec> {
  return {
    ...(priorityClass === undefined ? {} : { priorityClassName: priorityClass }),
    ...(nodeSelector === undefined ? {} : { nodeSelector: { ...nodeSelector } }),
    ...(tolerations === undefined ? {} : { tolerations: tolerations.map((one) => ({ ...one })) }),
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

function buildContainer(
  one: PvcToRestore,
  context: JobContext,
  options: ManifestOptions,
): { readonly volumes: Volume[]; readonly container: Container } {
  const target = targetVolume(one);
  const scratch = scratchVolume(one.pvc, context.part.plan, options);
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
      args: buildArgs(one.pvc, context.part, options),
      resources: RESOURCES,
      securityContext: CONTAINER_SECURITY,
      terminationMessagePolicy: 'FallbackToLogsOnError',
      volumeMounts: mounts,
      ...(target.device === undefined ? {} : { volumeDevices: [target.device] }),
    },
  };
}

/** A claim for scratch may be shared by all Jobs of a plan, so each works in a folder of its own there. */
function buildArgs(
  { name }: PlanPvc,
  { vm, isOneOfSeveral }: VmPart,
  { strategy, scratch, force, acceptUnproven }: ManifestOptions,
): string[] {
  const folder = isOneOfSeveral && vm !== undefined ? `${vm.name}-${name}` : name;
  const shared = scratch.kind === 'claim' && strategy !== 'stream';
  return [
    'restore',
    `${POD_PATHS.plan}/plan.yaml`,
    `--pvc=${name}`,
    ...(strategy === 'staged' ? [] : [`--strategy=${strategy}`]),
    ...(shared ? [`--scratch=${POD_PATHS.scratch}/${folder}`] : []),
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
