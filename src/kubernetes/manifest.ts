// A plan as Kubernetes objects: a ConfigMap with the plan, and one Job per PVC. Pure.
//
// One Job per PVC, since the pods of an Indexed Job share one template and each would mount every volume. Kubernetes
// spreads and retries them; each pod restores one PVC of the plan that all of them mount.
import type { Job } from 'kubernetes-types/batch/v1.js';
import type { ConfigMap } from 'kubernetes-types/core/v1.js';
import { DatamoverError, type Problem } from '../errors.ts';
import { placeholderProblems } from '../plan/placeholder.ts';
import type { Plan } from '../plan/plan.ts';
import { planId } from '../plan/plan-id.ts';
import { writePlan } from '../plan/write.ts';
import { formatBytes, KiB } from '../units.ts';
import { buildJob } from './job.ts';
import type { ManifestOptions } from './options.ts';
import { planForPods } from './pod-plan.ts';
import { scratchProblems } from './scratch-volume.ts';
import { volumeProblems } from './target-volume.ts';

export interface Manifest {
  /** 16 hex digits; the value of the label that all objects have. */
  readonly planId: string;
  readonly objects: readonly [ConfigMap, ...Job[]];
}

/** All that keeps the plan from running in pods is thrown together: PLAN_INVALID, USAGE. */
export function buildManifest(plan: Plan, options: ManifestOptions): Manifest {
  const { plan: forPods, files, problems: fileProblems } = planForPods(plan, options.secret);
  const id = planId(plan);
  const text = writePlan(forPods, { top: [], pvcs: new Map() });
  const problems: Problem[] = [
    ...fileProblems,
    ...claimProblems(plan, options.claims),
    ...placeholderProblems(plan),
    ...volumeProblems(plan, options.claims),
    ...scratchProblems(plan, options),
    ...sizeProblems(text),
  ];
  if (problems.length > 0) throw DatamoverError.fromProblems(problems);
  const labels = labelsOf(id);
  const metadata = {
    name: `kubevirt-datamover-${id}`,
    ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    labels,
  };
  const configMap: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'plan.yaml': text } };
  const jobs = plan.pvcs.map((pvc) =>
    buildJob(pvc, { plan, planId: id, labels, files, configMap: metadata.name }, options),
  );
  return { planId: id, objects: [configMap, ...jobs] };
}

/** What selects all objects of one plan. */
const PLAN_LABEL = 'kubevirt-datamover/plan';

function labelsOf(id: string): Readonly<Record<string, string>> {
  return { 'app.kubernetes.io/name': 'kubevirt-datamover', [PLAN_LABEL]: id };
}

function claimProblems(plan: Plan, claims: ReadonlyMap<string, string>): Problem[] {
  const names = plan.pvcs.map(({ name }) => name);
  return [...claims.keys()]
    .filter((name) => !names.includes(name))
    .map((name) => ({
      code: 'USAGE' as const,
      message: `--target-pvc ${name}=…: the plan has no PVC ${name}`,
      hint: `the plan's PVCs are ${names.join(', ')}`,
    }));
}

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
