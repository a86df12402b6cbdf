// A plan in the parts that run by themselves: one for each VM, in the VM's namespace, with a plan of its own that its pods mount.
// So the objects of a VM stay the same whatever else the plan holds, and a plan may be larger than a ConfigMap. Pure.
import type { Problem } from '../errors.ts';
import { isNamespaceName, isResourceName } from '../kubernetes-names.ts';
import { isPlaceholder } from '../plan/placeholder.ts';
import type { Plan, PlanPvc } from '../plan/plan.ts';
import { planId } from '../plan/plan-id.ts';
import { backupOf, diskOf, plansByVm } from '../plan/vms.ts';
import type { VmRef } from '../vm-ref.ts';
import { devicePath } from './names.ts';
import type { ManifestOptions } from './options.ts';

export interface PvcToRestore {
  /** In the plan of its VM. */
  readonly pvc: PlanPvc;
  /** In the plan of all VMs. */
  readonly name: string;
  /** Of the PersistentVolumeClaim. */
  readonly claim: string;
}

export interface VmPart {
  readonly vm: VmRef | undefined;
  readonly plan: Plan;
  readonly planId: string;
  /** Undefined for the namespace that kubectl uses. */
  readonly namespace: string | undefined;
  /** Whether the plan of all VMs holds others. */
  readonly isOneOfSeveral: boolean;
  /** Whether its objects are named after the VM, which is to exist under that name then. */
  readonly isForVm: boolean;
  readonly pvcs: readonly PvcToRestore[];
  /** Where the content of a PVC comes from, in full. */
  annotationsOf(pvc: PlanPvc): Record<string, string>;
}

type Options = Pick<ManifestOptions, 'namespace' | 'claims' | 'createPvcs'>;

export function vmParts(plan: Plan, options: Options): VmPart[] {
  const parts = plansByVm(options.createPvcs === undefined ? plan : withDevices(plan));
  const isOneOfSeveral = parts.length > 1;
  const isForVm = isOneOfSeveral || options.createPvcs !== undefined;
  return parts.map(({ vm, plan: own, pvcs }) => ({
    vm,
    plan: own,
    planId: planId(own),
    namespace: options.namespace ?? (isForVm ? vm?.namespace : undefined),
    isOneOfSeveral,
    isForVm,
    pvcs: own.pvcs.map((pvc) => {
      const { name } = pvcs.get(pvc.name) ?? pvc;
      return { pvc, name, claim: options.claims.get(name) ?? pvc.claimName ?? diskOf(pvc) };
    }),
    annotationsOf: (pvc) => {
      const backup = backupOf(own, pvc);
      const checkpoint = pvc.chain?.at(-1)?.checkpoint;
      return {
        ...(vm === undefined ? {} : { 'kubevirt-datamover/vm': `${vm.namespace}/${vm.name}` }),
        'kubevirt-datamover/disk': diskOf(pvc),
        ...(backup === undefined ? {} : { 'kubevirt-datamover/backup': backup }),
        ...(checkpoint === undefined ? {} : { 'kubevirt-datamover/checkpoint': checkpoint }),
      };
    },
  }));
}

/** New volumes are devices, whose paths in the pods are free to choose: a target that is not set yet gets one. */
function withDevices(plan: Plan): Plan {
  const [first, ...rest] = plan.pvcs.map((pvc) => {
    if (!isPlaceholder(pvc.target)) return pvc;
    return { ...pvc, target: devicePath(diskOf(pvc)) };
  });
  return first === undefined ? plan : { ...plan, pvcs: [first, ...rest] };
}

/** PLAN_INVALID for names of a VM that cannot be in a cluster. */
export function vmNameProblems({ vm, namespace, isForVm, pvcs }: VmPart): Problem[] {
  const [first] = pvcs;
  if (vm === undefined || first === undefined) return [];
  const problem = (message: string, hint: string): Problem => ({
    pvc: first.name,
    code: 'PLAN_INVALID',
    message,
    hint,
  });
  const invalidNamespace = namespace === vm.namespace && !isNamespaceName(namespace);
  const invalidName = isForVm && !isResourceName(vm.name);
  return [
    ...(invalidNamespace
      ? [problem(`invalid namespace name ${JSON.stringify(namespace)}`, 'set the namespace with --namespace NAME')]
      : []),
    ...(invalidName
      ? [
          problem(
            `invalid VM name ${JSON.stringify(vm.name)}: lower-case letters, digits, '-' and '.' are allowed`,
            'correct `vm` in the plan, or restore its disks with a plan of their own',
          ),
        ]
      : []),
  ];
}

/** PLAN_INVALID where PVCs of the plan would be one claim: two restores of different disks to one volume. */
export function sameClaimProblems(parts: readonly VmPart[]): Problem[] {
  const all = parts.flatMap(({ namespace, pvcs }) => pvcs.map((one) => ({ ...one, namespace })));
  const groups = Map.groupBy(all, ({ namespace = '', claim }) => `${namespace}/${claim}`);
  return [...groups.values()].flatMap(([first, ...others]) =>
    others.map((other) => {
      const sizes =
        first?.pvc.size === other.pvc.size ? '' : `, with two sizes (${first?.pvc.size} and ${other.pvc.size} bytes)`;
      const where = other.namespace === undefined ? '' : ` in namespace ${other.namespace}`;
      return {
        pvc: other.name,
        code: 'PLAN_INVALID' as const,
        message: `${first?.name} and ${other.name} have the same PVC ${other.claim}${where}${sizes}`,
        hint: `give one of them another PVC: --target-pvc ${other.name}=PVC`,
      };
    }),
  );
}
