// Scratch in pods: none for `stream`, a claim that is there, or a volume that lives as long as its pod. Pure.
import type { Volume } from 'kubernetes-types/core/v1.js';
import type { Problem } from '../errors.ts';
import { headroomPercentOf, type Plan, type PlanPvc } from '../plan/plan.ts';
import { scratchNeed, scratchVolumeSize } from '../scratch/need.ts';
import { GiB } from '../units.ts';
import type { ManifestOptions } from './options.ts';
import type { VmPart } from './part.ts';

type Options = Pick<ManifestOptions, 'strategy' | 'scratch'>;

/** The pod's scratch volume; undefined for `stream`. To be asked only when `scratchProblems` found none. */
export function scratchVolume(pvc: PlanPvc, plan: Plan, options: Options): Volume | undefined {
  if (options.strategy === 'stream') return undefined;
  const { scratch } = options;
  if (scratch.kind === 'claim') return { name: 'scratch', persistentVolumeClaim: { claimName: scratch.claim } };
  const storage = formatQuantity(scratchSize(pvc, plan, options) ?? 0);
  return {
    name: 'scratch',
    ephemeral: {
      volumeClaimTemplate: {
        spec: {
          accessModes: ['ReadWriteOnce'],
          ...(scratch.storageClass === undefined ? {} : { storageClassName: scratch.storageClass }),
          resources: { requests: { storage } },
        },
      },
    },
  };
}

/** USAGE for each PVC whose need for scratch the plan does not tell. */
export function scratchProblems({ plan, pvcs }: VmPart, options: Options): Problem[] {
  if (options.strategy === 'stream' || options.scratch.kind === 'claim') return [];
  return pvcs.flatMap(({ pvc, name }) => {
    if (scratchSize(pvc, plan, options) !== undefined) return [];
    const size =
      options.strategy === 'staged-raw' ? "the PVC's `size` and the sizes of its layers" : 'the sizes of its layers';
    return [
      {
        pvc: name,
        code: 'USAGE' as const,
        message: `cannot compute the scratch size of ${name}: the plan lacks ${size}`,
        hint: 'add --scratch-size SIZE, or use a plan written by `kubevirt-datamover plan`, or --strategy stream',
      },
    ];
  });
}

/** Bytes to ask for; undefined when the plan does not tell. A disk is at most as large as its PVC. */
function scratchSize(pvc: PlanPvc, plan: Plan, { strategy, scratch }: Options): number | undefined {
  if (scratch.kind === 'ephemeral' && scratch.size !== undefined) return scratch.size;
  const layerSizes = pvc.chain?.flatMap(({ size }) => (size === undefined ? [] : [size]));
  if (layerSizes === undefined || layerSizes.length !== pvc.chain?.length) return undefined;
  if (strategy === 'staged-raw' && pvc.size === undefined) return undefined;
  const headroomPercent = headroomPercentOf(plan);
  return scratchVolumeSize(scratchNeed({ strategy, layerSizes, virtualSize: pvc.size ?? 0, headroomPercent }));
}

/** A Kubernetes quantity: whole GiB where it is that, else bytes. */
function formatQuantity(bytes: number): string {
  return bytes % GiB === 0 ? `${bytes / GiB}Gi` : String(bytes);
}
