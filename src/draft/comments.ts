// What a drafted plan says of itself: what will be restored, how much is fetched, how much scratch it takes.
import type { BackupFacts } from '../catalog/backup-facts.ts';
import { vmText } from '../catalog/keys.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import { isUnproven, unprovenMessage } from '../chain/unproven.ts';
import type { Problem } from '../errors.ts';
import type { VmBackup } from '../inventory/vm-backup.ts';
import { isPlaceholder } from '../plan/placeholder.ts';
import { headroomPercentOf, type Plan } from '../plan/plan.ts';
import type { PlanComments } from '../plan/write.ts';
import { scratchNeed, scratchVolumeSize } from '../scratch/need.ts';
import type { Strategy } from '../strategy.ts';
import { isTargetFileName } from '../target-file-name.ts';
import { count, formatBytes, GiB } from '../units.ts';

export interface Drafted {
  readonly chains: readonly CheckedChain[];
  /** Whose disks, and of which state. */
  readonly what: string;
  /** Of disks and VMs that are not in the plan. */
  readonly skipped: readonly Problem[];
}

export function describeDraft(plan: Plan, { chains, what, skipped }: Drafted): PlanComments {
  const headroomPercent = headroomPercentOf(plan);
  const need = (strategy: Strategy): number => planScratchNeed(chains, { strategy, headroomPercent });
  const layers = chains.reduce((sum, chain) => sum + chain.layers.length, 0);
  const bytes = chains.reduce((sum, chain) => sum + downloadSize(chain), 0);
  const scratch = plan.scratch?.path === undefined ? ' --scratch DIR' : '';
  const open = plan.pvcs.some(({ target }) => isPlaceholder(target));
  return {
    top: [
      `Restores ${what}: ${count(chains.length, 'disk')}.`,
      ...describeSkipped(skipped),
      `Download: ${formatBytes(bytes)} in ${count(layers, 'layer')} (less with --strategy stream, which skips overwritten data).`,
      `Scratch, with ${headroomPercent} % headroom (PVCs are restored one at a time; the largest decides):`,
      `  --strategy staged      ${scratchText(need('staged'))}`,
      `  --strategy staged-raw  ${scratchText(need('staged-raw'))}`,
      `  --strategy stream      none${withChecksums(plan) ? '; it cannot verify the checksums of this plan: add --no-checksums' : ''}`,
      ...(withChecksums(plan)
        ? [
            'Checksums: sha256 of each layer as it is now. `verify PLAN --data` finds any later change; it does not prove that a layer is sound now.',
          ]
        : []),
      ...describeFiles(chains),
      ...(open ? ['Replace each target by the block device or file (.raw, .img, .qcow2) to restore to.'] : []),
      `Run it with: kubevirt-datamover restore PLAN${scratch} (add --dry-run to check without writing).`,
    ],
    pvcs: new Map(chains.map((chain) => [chain.disk.name, describeDisk(chain)])),
  };
}

/** One line for each problem: whoever reads the plan must see what it does not restore. */
function describeSkipped(problems: readonly Problem[]): string[] {
  if (problems.length === 0) return [];
  return [
    'INCOMPLETE: this plan does not restore',
    ...problems.map(({ pvc, message }) => `  ${pvc === undefined ? '' : `${pvc}: `}${message}`),
  ];
}

function withChecksums({ pvcs }: Plan): boolean {
  return pvcs.some(({ chain }) => chain?.some(({ sha256 }) => sha256 !== undefined));
}

/** Bytes of scratch that a plan needs: of its largest PVC. */
function planScratchNeed(
  chains: readonly CheckedChain[],
  { strategy, headroomPercent }: { readonly strategy: Strategy; readonly headroomPercent: number },
): number {
  const needs = chains.map(({ layers, virtualSize }) =>
    scratchNeed({ strategy, layerSizes: layers.map(({ info }) => info.size), virtualSize, headroomPercent }),
  );
  return Math.max(0, ...needs);
}

function scratchText(need: number): string {
  return `${formatBytes(need)} (in Kubernetes, a PVC of ${scratchVolumeSize(need) / GiB}Gi)`;
}

/** Where scratch will lie is not known yet, nor what else fills its file system. */
function describeFiles(chains: readonly CheckedChain[]): string[] {
  const files = chains.filter(({ disk }) => isTargetFileName(disk.target));
  if (files.length === 0) return [];
  const sizes = files.map(({ disk, virtualSize }) => `${disk.name} ${formatBytes(virtualSize)}`).join(', ');
  return [
    `Target files also need up to their disk's size, in the file system of scratch if they are stored there: ${sizes}.`,
  ];
}

/** `demo/web as of backup b4 (checkpoint cp-4, 2026-01-04T02:00:00Z)` */
export function describeState({ backup }: Pick<Plan, 'backup'>, { index, tip: id }: VmBackup): string {
  const entry = index.byId.get(id)?.[0];
  const time = entry?.flaw === undefined ? entry?.timestamp : undefined;
  const checkpoint = `checkpoint ${id}${time === undefined ? '' : `, ${time}`}`;
  return `${vmText(index.vm)} as of ${backup === undefined ? checkpoint : `backup ${backup} (${checkpoint})`}`;
}

function describeDisk(chain: CheckedChain): string[] {
  const { disk, layers, virtualSize, warnings, cut } = chain;
  const asked = disk.disk ?? disk.name;
  const { disk: name = asked, pvc } = disk.origin?.file ?? {};
  const also = [
    ...(name === asked ? [] : [`disk ${name}`]),
    ...(pvc === undefined || pvc === asked ? [] : [`PVC ${pvc}`]),
  ];
  const known = also.length === 0 ? '' : ` (${also.join(', ')})`;
  const { base, order, facts } = disk.origin ?? {};
  return [
    `${disk.name}${known}: a disk of ${formatBytes(virtualSize)}, ${formatBytes(downloadSize(chain))} in ${count(layers.length, 'layer')}`,
    ...(base === undefined
      ? []
      : [
          `Base: checkpoint ${base.checkpoint}, a full by ${base.proof === 'type' ? 'its type' : 'its tables'}; order proven by ${ORDERS[order ?? 'index']}.`,
        ]),
    ...(facts === undefined ? [] : [describeFacts(facts)]),
    ...(cut === undefined ? [] : [`note: ${cut}`]),
    ...(isUnproven(disk) ? [`warning: ${unprovenMessage(disk)}`] : []),
    ...warnings.map((warning) => `warning: ${warning}`),
  ];
}

const ORDERS = { index: 'the index', manifest: 'a manifest', time: 'nothing' } as const;

function describeFacts({ name, createdAt, consistency, forcedFull }: BackupFacts): string {
  const how = [...(consistency === undefined ? [] : [consistency]), ...(forcedFull ? ['full by force'] : [])];
  const when = createdAt === undefined ? '' : ` at ${createdAt}`;
  return `Taken by ${name ?? 'an archived backup'}${when}${how.length === 0 ? '' : `: ${how.join(', ')}`}.`;
}

function downloadSize({ layers }: CheckedChain): number {
  return layers.reduce((sum, { info }) => sum + info.size, 0);
}
