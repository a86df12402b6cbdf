// Target PVCs in pods: a device where the plan's target is one, else a mounted file system. Pure.
import { dirname } from 'node:path';
import type { Volume, VolumeDevice, VolumeMount } from 'kubernetes-types/core/v1.js';
import type { Problem } from '../errors.ts';
import { isResourceName } from '../kubernetes-names.ts';
import { isTargetFileName } from '../target-file-name.ts';
import type { PvcToRestore } from './part.ts';
import { POD_PATHS } from './pod-plan.ts';

export interface TargetVolume {
  readonly volume: Volume;
  readonly device?: VolumeDevice;
  readonly mount?: VolumeMount;
}

/** The volume of a PVC's target, at the very path that the plan says. */
export function targetVolume({ pvc, claim }: PvcToRestore): TargetVolume {
  const name = 'target';
  const volume = { name, persistentVolumeClaim: { claimName: claim } };
  if (isFile(pvc.target)) return { volume, mount: { name, mountPath: dirname(pvc.target) } };
  return { volume, device: { name, devicePath: pvc.target } };
}

/** PLAN_INVALID for PVCs whose names or targets cannot be so in a pod. */
export function volumeProblems(one: PvcToRestore): Problem[] {
  return [...nameProblems(one), ...placeProblems(one)];
}

/** As `restore` tells them apart before they exist: files are made only with these endings, and not under /dev. */
function isFile(target: string): boolean {
  return isTargetFileName(target) && !target.startsWith('/dev/');
}

function nameProblems({ name, claim }: PvcToRestore): Problem[] {
  if (isResourceName(claim)) return [];
  return [
    {
      pvc: name,
      code: 'PLAN_INVALID',
      message: `invalid PVC name ${claim}: lower-case letters, digits, '-' and '.' are allowed`,
      hint: `set the name of the target PVC with --target-pvc ${name}=PVC`,
    },
  ];
}

/** What the container cannot do without; the root of it is taken too. */
const RESERVED_PATHS = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc', '/opt', '/proc', '/sys', '/dev', '/run'];

function placeProblems({ pvc: { name: disk, target }, name }: PvcToRestore): Problem[] {
  const place = isFile(target) ? dirname(target) : target;
  const inside = (folder: string): boolean => place === folder || place.startsWith(`${folder}/`);
  const ours = Object.values(POD_PATHS).find((path) => inside(path) || path.startsWith(`${place}/`));
  const system = isFile(target) ? RESERVED_PATHS.find(inside) : RESERVED_PATHS.find((path) => place === path);
  const taken = place === '/' ? '/' : (ours ?? system);
  if (taken === undefined) return [];
  return [
    {
      pvc: name,
      code: 'PLAN_INVALID',
      message: `the target ${target} cannot be mounted in a pod: ${taken} is reserved`,
      hint: `set the target to a path inside the pod, for example /dev/${disk} for a block volume or /target/disk.img for a file`,
    },
  ];
}
