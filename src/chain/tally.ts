// What one PVC's restore adds up to, filled in as it goes, so that a failure too can say how far it came.

import type { BackupFacts } from '../catalog/backup-facts.ts';
import { omitUndefined } from '../omit-undefined.ts';
import type { PhaseSeconds, Progress } from '../progress.ts';
import type { KeptFrom } from '../pvc-state.ts';
import type { LayerResult, PvcResult, TakenResult, TargetHash, TargetInfo, VerifiedBy } from '../result.ts';
import type { Strategy } from '../strategy.ts';
import type { CheckedChain } from './check-layers.ts';
import type { Disk, Layer } from './disk.ts';

export interface PvcStats {
  bytesFetched: number;
  scratchPeakBytes: number;
  verified: boolean;
  verifiedBy?: VerifiedBy;
  hash?: TargetHash;
  /** `qemu`: a stream of what the map of the chain cannot place. */
  via?: 'qemu';
  /** By phase, unrounded. The phases of a PVC follow each other: they never overlap. */
  readonly seconds: PhaseSeconds;
  /** What was proven of each layer, in the chain's order. */
  readonly checked: string[][];
  readonly warnings: string[];
}

export function newStats(chain: CheckedChain): PvcStats {
  return {
    bytesFetched: 0,
    scratchPeakBytes: 0,
    verified: false,
    seconds: {},
    checked: chain.layers.map(({ layer }) => (layer.size === undefined ? ['header'] : ['size', 'header'])),
    warnings: [...chain.warnings],
  };
}

export interface PvcOutcome {
  /** Without layers while its chain is not resolved. */
  readonly disk: Pick<Disk, 'name' | 'target' | 'origin'> & { readonly layers: readonly Layer[] };
  readonly chain?: CheckedChain | undefined;
  readonly state: PvcResult['state'];
  readonly strategy: Strategy;
  /** Of one that is kept, where it is known. */
  readonly keptFrom?: KeptFrom | undefined;
  readonly tally?: PvcStats | undefined;
  readonly seconds?: number;
  readonly targetInfo?: TargetInfo | undefined;
}

/** The PVC's entry in the result document. */
export function pvcResult({
  disk,
  chain,
  state,
  strategy,
  keptFrom,
  tally,
  seconds,
  targetInfo,
}: PvcOutcome): PvcResult {
  return {
    name: disk.name,
    target: disk.target,
    state,
    strategy,
    layers: disk.layers.map((layer, index): LayerResult => {
      const { checkpoint, object } = layer;
      const info = chain?.layers[index]?.info;
      const size = info?.size ?? layer.size ?? null;
      const sha256 = layer.sha256 ?? info?.checksums.find(({ algorithm }) => algorithm === 'sha256')?.hex;
      const version = { etag: info?.etag ?? null, ...(sha256 === undefined ? {} : { sha256 }) };
      return { checkpoint, object, size, ...version, checked: tally?.checked[index] ?? [] };
    }),
    virtualSize: chain?.virtualSize ?? null,
    base: disk.origin?.base ?? null,
    order: disk.origin?.order ?? null,
    ...(disk.origin?.facts === undefined ? {} : { taken: takenOf(disk.origin.facts) }),
    bytesFetched: tally?.bytesFetched ?? 0,
    scratchPeakBytes: tally?.scratchPeakBytes ?? 0,
    verified: tally?.verified ?? false,
    ...omitUndefined({ verifiedBy: tally?.verifiedBy, targetInfo, hash: tally?.hash }),
    ...(keptFrom === undefined ? {} : { keptFrom }),
    ...(tally?.via === undefined ? {} : { via: tally.via }),
    seconds: { ...inMilliseconds(tally?.seconds ?? {}), total: seconds ?? 0 },
    ...(tally !== undefined && tally.warnings.length > 0 ? { warnings: tally.warnings } : {}),
  };
}

/** What an archived backup says of the state that it captured. */
function takenOf({ name, createdAt, consistency, forcedFull }: BackupFacts): TakenResult {
  return {
    ...(name === undefined ? {} : { by: name }),
    ...(createdAt === undefined ? {} : { at: createdAt }),
    ...(consistency === undefined ? {} : { consistency }),
    ...(forcedFull ? { forcedFull } : {}),
  };
}

/** Rounded down, so that the phases never add up to more than the total. */
function inMilliseconds(seconds: PhaseSeconds): PhaseSeconds {
  return Object.fromEntries(Object.entries(seconds).map(([phase, time]) => [phase, Math.floor(time * 1000) / 1000]));
}

/** Counts and reports the bytes of a PVC's layers that come from the source. */
export function fetchedCounter(
  progress: Progress,
  { pvc, tally }: { readonly pvc: string; readonly tally: PvcStats },
): (count: number) => void {
  return (count) => {
    tally.bytesFetched += count;
    progress.report({ type: 'fetched', pvc, count });
  };
}
