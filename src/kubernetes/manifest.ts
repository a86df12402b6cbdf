// A plan as Kubernetes objects: for each VM a ConfigMap with its plan, the target PVCs if they are to be created, and one Job
// per PVC. Pure: the same plan gives the same objects.
//
// One Job per PVC, since the pods of an Indexed Job share one template and each would mount every volume. Kubernetes
// spreads and retries them; each pod restores one PVC of the plan that all pods of its VM mount.
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { ConfigMap, PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import { DatamoverError, type Problem } from '../errors.ts';
import { placeholderProblems } from '../plan/placeholder.ts';
import type { Plan } from '../plan/plan.ts';
import { planId } from '../plan/plan-id.ts';
import { writePlan } from '../plan/write.ts';
import { compressProblems } from '../target-file-name.ts';
import { formatBytes, KiB } from '../units.ts';
import { buildClaim, newClaimProblems, storageClassProblems } from './claims.ts';
import { buildJob, PLAN_LABEL } from './job.ts';
import type { ManifestOptions } from './options.ts';
import { sameClaimProblems, type VmPart, vmNameProblems, vmParts } from './part.ts';
import { planForPods } from './pod-plan.ts';
import { scratchProblems } from './scratch-volume.ts';
import { volumeProblems } from './target-volume.ts';

export interface Manifest {
  /** Of the plan's objects, as kubectl takes it. */
  readonly selector: string;
  /** Of their pods. */
  readonly podSelector: string;
  readonly objects: readonly (ConfigMap | PersistentVolumeClaim | Job)[];
  /** The namespaces that the objects name; none where they are in kubectl's. */
  readonly namespaces: readonly string[];
}

/** All that keeps the plan from running in pods is thrown together: PLAN_INVALID, USAGE. */
export function buildManifest(plan: Plan, options: ManifestOptions): Manifest {
  const { createPvcs } = options;
  const parts = vmParts(plan, options);
  const pvcs = parts.flatMap((part) => part.pvcs);
  const texts = parts.map((part) => podPlanText(part, options));
  const problems: Problem[] = [
    ...planForPods(plan, options.secret).problems,
    ...claimProblems(plan, options.claims),
    ...(createPvcs === undefined ? placeholderProblems(plan) : storageClassProblems(pvcs, createPvcs)),
    ...parts.flatMap(vmNameProblems),
    ...(createPvcs === undefined ? [] : pvcs.flatMap(newClaimProblems)),
    ...sameClaimProblems(parts),
    ...pvcs.flatMap(volumeProblems),
    ...parts.flatMap((part) => scratchProblems(part, options)),
    ...(options.compress === true ? compressProblems(plan.pvcs.map(({ target }) => target)) : []),
    ...texts.flatMap(sizeProblems),
  ];
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  const id = planId(plan);
  const objects = parts.flatMap((part, index) => buildPart(part, labelsOf(id), { text: texts[index] ?? '', options }));
  const namespaces = [...new Set(parts.flatMap(({ namespace }) => (namespace === undefined ? [] : [namespace])))];
  const selector = `${PLAN_LABEL}=${id}`;
  const podSelector = parts.length === 1 ? selector : `${PROGRAM_LABEL}=${PROGRAM}`;
  return { selector, podSelector, objects, namespaces };
}

interface PartOptions {
  /** The plan, as its pods read it. */
  readonly text: string;
  readonly options: ManifestOptions;
}

function buildPart(
  part: VmPart,
  labels: Readonly<Record<string, string>>,
  { text, options }: PartOptions,
): (ConfigMap | PersistentVolumeClaim | Job)[] {
  const { createPvcs } = options;
  const name = `kubevirt-datamover-${part.planId}`;
  const metadata = { name, ...(part.namespace === undefined ? {} : { namespace: part.namespace }), labels };
  const { files } = planForPods(part.plan, options.secret);
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'plan.yaml': text } },
    ...(createPvcs === undefined ? [] : part.pvcs.map((pvc) => buildClaim(pvc, { part, labels }, createPvcs))),
    ...part.pvcs.map((pvc) => buildJob(pvc, { part, labels, files, configMap: name }, options)),
  ];
}

function podPlanText({ plan }: VmPart, { secret }: ManifestOptions): string {
  return writePlan(planForPods(plan, secret).plan, { top: [], pvcs: new Map() });
}

const PROGRAM_LABEL = 'app.kubernetes.io/name';
const PROGRAM = 'kubevirt-datamover';

function labelsOf(id: string): Readonly<Record<string, string>> {
  return { [PROGRAM_LABEL]: PROGRAM, [PLAN_LABEL]: id };
}

function claimProblems(plan: Plan, claims: ReadonlyMap<string, string>): Problem[] {
  const names = plan.pvcs.map(({ name }) => name);
  const known = new Set(names);
  return [...claims.keys()]
    .filter((name) => !known.has(name))
    .map((name) => ({
      code: 'USAGE' as const,
      message: `--target-pvc ${name}=…: the plan has no PVC ${name}`,
      hint: `the plan's PVCs are ${listed(names)}`,
    }));
}

function listed(names: readonly string[]): string {
  return names.length > MAX_LISTED ? `${names.slice(0, MAX_LISTED).join(', ')}…` : names.join(', ');
}

const MAX_LISTED = 20;

/** etcd takes objects of 1.5 MiB, the API server data of 1 MiB (ConfigMap documentation). */
const MAX_CONFIG_MAP_BYTES = 1000 * KiB;

function sizeProblems(text: string): Problem[] {
  const bytes = Buffer.byteLength(text);
  if (bytes <= MAX_CONFIG_MAP_BYTES) return [];
  return [
    {
      code: 'PLAN_INVALID',
      message: `the plan is too large for a ConfigMap: ${formatBytes(bytes)}, limit ${formatBytes(MAX_CONFIG_MAP_BYTES)}`,
      hint: 'split it into plans of fewer PVCs, or replace the chains by `backup` and `vm`',
    },
  ];
}
