// A plan's identity: what is restored from where to where. A plan that changed is another plan.
import { createHash } from 'node:crypto';
import type { VmRef } from '../vm-ref.ts';
import type { Plan, PlanSource } from './plan.ts';

/**
 * 16 hex digits, the same for the same restore: source, backup, VM, PVCs with targets, sizes and chains. How the
 * source is reached (credentials, CA, TLS, region, path style) and where scratch lies are left out, so that a run with
 * renewed credentials goes on where the last one stopped.
 */
export function planId(plan: Plan): string {
  const canonical = JSON.stringify([
    'kubevirt-datamover plan 1',
    sourceIdentity(plan.source),
    plan.backup ?? null,
    vmIdentity(plan.vm),
    plan.pvcs.map((pvc) => [
      pvc.name,
      pvc.target,
      pvc.size ?? null,
      pvc.chain?.map((layer) => [
        layer.checkpoint,
        layer.type,
        layer.object,
        layer.size ?? null,
        layer.sha256 ?? null,
      ]) ?? null,
      ...(pvc.vm === undefined && pvc.backup === undefined ? [] : [vmIdentity(pvc.vm), pvc.backup ?? null]),
    ]),
  ]);
  return createHash('sha256').update(canonical).digest('hex').slice(0, 16);
}

function vmIdentity(vm: VmRef | undefined): readonly string[] | null {
  return vm === undefined ? null : [vm.namespace, vm.name];
}

function sourceIdentity(source: PlanSource): readonly (string | null)[] {
  if (source.kind === 'directory') return ['directory', source.directory];
  const endpoint = source.endpoint === undefined ? null : new URL(source.endpoint).href;
  const prefix = (source.prefix ?? '').replace(/^\/+|\/+$/g, '');
  if (source.kind === 'azure') return ['azure', endpoint, source.account, source.container, prefix];
  if (source.kind === 'gcs') return ['gcs', endpoint, source.bucket, prefix];
  return ['s3', endpoint, source.bucket, prefix];
}
