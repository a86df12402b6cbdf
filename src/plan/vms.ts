// The VMs of a plan: which PVC is whose, how a PVC is named where there are several VMs, and the part of a plan for each VM.
import type { VmRef } from '../vm-ref.ts';
import type { Plan, PlanPvc } from './plan.ts';

/** The disk's name in the backup. */
export function diskOf({ name, disk = name }: Pick<PlanPvc, 'name' | 'disk'>): string {
  return disk;
}

/** The VM whose disk a PVC of the plan is; undefined where the plan does not name it. */
export function vmOf({ vm }: Pick<Plan, 'vm'>, pvc: Pick<PlanPvc, 'vm'>): VmRef | undefined {
  return pvc.vm ?? vm;
}

/** The backup in which the chain of a PVC is looked up; undefined where the plan does not name it. */
export function backupOf({ backup }: Pick<Plan, 'backup'>, pvc: Pick<PlanPvc, 'backup'>): string | undefined {
  return pvc.backup ?? backup;
}

/** `namespace/vm/disk`. */
export function qualifiedName({ namespace, name }: VmRef, disk: string): string {
  return `${namespace}/${name}/${disk}`;
}

/**
 * The PVCs with names that are unique in the plan: where it holds more than one VM, `namespace/vm/disk`, and `disk` has the
 * name in the backup. PVCs whose VM is unknown keep their names.
 */
export function withUniqueNames<Pvc extends PlanPvc>(vm: VmRef | undefined, pvcs: readonly Pvc[]): Pvc[] {
  const vms = new Set(pvcs.map((pvc) => keyOf(pvc.vm ?? vm)));
  if (vms.size < 2) return [...pvcs];
  return pvcs.map((pvc) => {
    const own = pvc.vm ?? vm;
    const disk = diskOf(pvc);
    return own === undefined ? pvc : { ...pvc, name: qualifiedName(own, disk), disk };
  });
}

export interface PlanOfVm {
  /** Undefined where the plan does not name it. */
  readonly vm: VmRef | undefined;
  /** The plan itself where it holds one VM; else its PVCs of this VM under their names in the backup. */
  readonly plan: Plan;
  /** By the name in this plan: the PVC in the plan of all VMs. */
  readonly pvcs: ReadonlyMap<string, PlanPvc>;
}

/** The plan in parts of one VM each, in the order in which it names them. */
export function plansByVm(plan: Plan): PlanOfVm[] {
  const groups = Map.groupBy(plan.pvcs, (pvc) => keyOf(vmOf(plan, pvc)));
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const vm = vmOf(plan, first);
    if (groups.size === 1) return [{ vm, plan, pvcs: new Map(plan.pvcs.map((pvc) => [pvc.name, pvc])) }];
    const { vm: _vm, backup: _backup, pvcs: _pvcs, ...rest } = plan;
    const common = commonBackup(plan, group);
    const [head, ...others] = group.map((pvc) => ofOneVm(pvc, common === undefined ? backupOf(plan, pvc) : undefined));
    if (head === undefined) return [];
    const named = { ...(vm === undefined ? {} : { vm }), ...(common === undefined ? {} : { backup: common }) };
    const own: Plan = { ...rest, ...named, pvcs: [head, ...others] };
    return [{ vm, plan: own, pvcs: new Map(group.map((pvc) => [diskOf(pvc), pvc])) }];
  });
}

function ofOneVm(pvc: PlanPvc, backup: string | undefined): PlanPvc {
  const { disk: _disk, vm: _vm, backup: _backup, ...rest } = pvc;
  return { ...rest, name: diskOf(pvc), ...(backup === undefined ? {} : { backup }) };
}

/** The backup of all these PVCs; undefined where they have several, or none. */
function commonBackup(plan: Plan, pvcs: readonly PlanPvc[]): string | undefined {
  const [backup, ...more] = new Set(pvcs.map((pvc) => backupOf(plan, pvc)));
  return more.length > 0 ? undefined : backup;
}

function keyOf(vm: VmRef | undefined): string {
  return vm === undefined ? '' : `${vm.namespace}/${vm.name}`;
}
