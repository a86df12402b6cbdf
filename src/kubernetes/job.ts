// The Job that restores one PVC of a plan. Pure.
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { PlanPvc } from '../plan/plan.ts';
import { fileFormatOf } from '../target-file-name.ts';
import { jobName } from './names.ts';
import type { ManifestOptions } from './options.ts';
import type { PvcToRestore, VmPart } from './part.ts';
import { FAILURE_POLICY, ownVolumes, type PodParts, podTemplate } from './pod.ts';
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

/** What comes again by itself (the source is unreachable, the pod was killed or moved) is tried again this often. */
const BACKOFF_LIMIT = 6;

export function buildJob(one: PvcToRestore, context: JobContext, options: ManifestOptions): Job {
  const { part, labels } = context;
  const { vm, planId, isOneOfSeveral } = part;
  const { queue, ttlSeconds } = options.scheduling ?? {};
  const words = vm === undefined || !isOneOfSeveral ? [one.pvc.name] : [vm.name, one.pvc.name];
  const annotations = isOneOfSeveral ? { annotations: part.annotationsOf(one.pvc) } : {};
  const labelled = { labels: { ...labels, [PLAN_LABEL]: planId }, ...annotations };
  const args = buildArgs(one.pvc, part, options);
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
      template: podTemplate(
        { ...volumesOf(one, context, options), ...labelled, args, source: part.plan.source },
        options,
      ),
    },
  };
}

/** What selects all objects of one plan. A Job's pods have their VM's: a template cannot be changed when the plan gets more VMs. */
export const PLAN_LABEL = 'kubevirt-datamover/plan';

/** Kueue starts a suspended Job when the queue has quota for it (Kueue documentation, "Run a Kubernetes Job"). */
const QUEUE_LABEL = 'kueue.x-k8s.io/queue-name';

function volumesOf(
  one: PvcToRestore,
  context: JobContext,
  options: ManifestOptions,
): Pick<PodParts, 'volumes' | 'mounts' | 'devices'> {
  const target = targetVolume(one);
  const scratch = scratchVolume(one.pvc, context.part.plan, options);
  const own = ownVolumes(context, options);
  return {
    volumes: [...own.volumes, ...(scratch === undefined ? [] : [scratch]), target.volume],
    mounts: [
      ...own.mounts,
      ...(scratch === undefined ? [] : [{ name: scratch.name, mountPath: POD_PATHS.scratch }]),
      ...(target.mount === undefined ? [] : [target.mount]),
    ],
    ...(target.device === undefined ? {} : { devices: [target.device] }),
  };
}

/** A claim for scratch may be shared by all Jobs of a plan, so each works in a folder of its own there. */
function buildArgs(
  { name, target }: PlanPvc,
  { vm, isOneOfSeveral }: VmPart,
  { strategy, scratch, force, verify, compress, hash, acceptUnproven }: ManifestOptions,
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
    ...(verify === 'compare' ? ['--verify=compare'] : []),
    // A pod with another target would refuse the flag.
    ...(compress === true && fileFormatOf(target) === 'qcow2' ? ['--compress'] : []),
    ...(hash === true ? ['--hash'] : []),
    ...(acceptUnproven === true ? ['--accept-unproven'] : []),
  ];
}
