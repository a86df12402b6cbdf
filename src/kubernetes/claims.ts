// The target PVCs, to be created before the Jobs run: named as the backup knows them, so that a VirtualMachine finds them. Pure.
import type { PersistentVolumeClaim } from 'kubernetes-types/core/v1.js';
import type { Problem } from '../errors.ts';
import { isTargetFileName } from '../target-file-name.ts';
import { alignUp, GiB, MiB } from '../units.ts';
import { labelValue } from './names.ts';
import type { CreatePvcs } from './options.ts';
import type { PvcToRestore, VmPart } from './part.ts';

export interface ClaimContext {
  readonly part: VmPart;
  readonly labels: Readonly<Record<string, string>>;
}

/** To be asked only where `newClaimProblems` found none. */
export function buildClaim(
  { pvc, name, claim }: PvcToRestore,
  { part, labels }: ClaimContext,
  { accessMode, storageClass, storageClasses }: CreatePvcs,
): PersistentVolumeClaim {
  const storageClassName = storageClasses.get(name) ?? storageClasses.get(pvc.name) ?? storageClass;
  const backup = pvc.backup ?? part.plan.backup;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: claim,
      ...(part.namespace === undefined ? {} : { namespace: part.namespace }),
      labels: { ...labels, ...(backup === undefined ? {} : { 'kubevirt-datamover/backup': labelValue(backup) }) },
      annotations: part.annotationsOf(pvc),
    },
    spec: {
      accessModes: [accessMode],
      volumeMode: 'Block',
      ...(storageClassName === undefined ? {} : { storageClassName }),
      resources: { requests: { storage: storageQuantity(pvc.size ?? 0) } },
    },
  };
}

/** PLAN_INVALID for a PVC that cannot be created: without a size, or with a file as its target. */
export function newClaimProblems({ pvc, name }: PvcToRestore): Problem[] {
  const problems: Problem[] = [];
  if (pvc.size === undefined || pvc.size === 0) {
    problems.push({
      pvc: name,
      code: 'PLAN_INVALID',
      message: `cannot create the PVC of ${name}: the plan has no size for it`,
      hint: 'add its `size`, or use a plan written by `kubevirt-datamover plan`',
    });
  }
  if (isTargetFileName(pvc.target) && !pvc.target.startsWith('/dev/')) {
    problems.push({
      pvc: name,
      code: 'PLAN_INVALID',
      message: `the target ${pvc.target} of ${name} is a file, but --create-pvcs creates block volumes`,
      hint: `set the target to a device path such as /dev/${name.split('/').at(-1)}, or create the PVC yourself`,
    });
  }
  return problems;
}

/** USAGE for classes of disks that the plan does not hold. */
export function storageClassProblems(pvcs: readonly PvcToRestore[], { storageClasses }: CreatePvcs): Problem[] {
  const known = new Set(pvcs.flatMap(({ pvc, name }) => [pvc.name, name]));
  return [...storageClasses.keys()]
    .filter((disk) => !known.has(disk))
    .map((disk) => ({
      code: 'USAGE' as const,
      message: `--storage-class ${disk}=…: the plan has no disk ${disk}`,
      hint: 'use the name of a disk, or NAMESPACE/VM/DISK',
    }));
}

/** Whole GiB or MiB, never less than asked for. */
function storageQuantity(bytes: number): string {
  const size = alignUp(bytes, MiB);
  return size % GiB === 0 ? `${size / GiB}Gi` : `${size / MiB}Mi`;
}
