// The result documents: their keys are a contract (design section 7).
import type { Problem } from './errors.ts';
import type { PhaseSeconds } from './progress.ts';
import type { KeptFrom, PvcState } from './pvc-state.ts';
import type { Strategy } from './strategy.ts';

export interface PvcResult {
  readonly name: string;
  readonly target: string;
  readonly state: PvcState;
  readonly strategy: Strategy;
  /** Layers of the chain, in order, with what was checked of each. */
  readonly layers: readonly LayerResult[];
  /** Bytes; null when it was not learnt. */
  readonly virtualSize: number | null;
  /** Where the chain starts, and what proves that its layer needs no parent; null when it was not learnt. */
  readonly base: { readonly checkpoint: string; readonly proof: 'type' | 'tables' } | null;
  /** What proves the order of the layers; `time` is unproven. Null when it was not learnt. */
  readonly order: 'index' | 'manifest' | 'time' | null;
  /** What the archived backup says of the state that is restored; missing where it was not archived. */
  readonly taken?: TakenResult;
  /** Bytes of object data fetched by this run. */
  readonly bytesFetched: number;
  /** The most that this PVC took up in scratch, bytes. */
  readonly scratchPeakBytes: number;
  /** Whether this run read all of the target back and found it identical to the chain. */
  readonly verified: boolean;
  /** Of a PVC that is `kept`; missing where the journal was written before it recorded this. */
  readonly keptFrom?: KeptFrom;
  /** With `stream`: qemu-img read the layers and wrote the target, since the map of the chain could not place every byte. */
  readonly via?: 'qemu';
  /** Of each phase that ran for this PVC, and `total`, which they never exceed together. */
  readonly seconds: Readonly<PhaseSeconds> & { readonly total: number };
  readonly warnings?: readonly string[];
}

export interface TakenResult {
  /** The VirtualMachineBackup. */
  readonly by?: string;
  /** RFC 3339. */
  readonly at?: string;
  /** Whether the guest's file systems were frozen. */
  readonly consistency?: 'quiesced' | 'crash-consistent';
  readonly forcedFull?: true;
}

export interface LayerResult {
  readonly checkpoint: string;
  readonly object: string;
  readonly size: number | null;
  /** Of `size`, `header`, `sha256`, `crc32`, …, `image`: what this run proved of the layer. */
  readonly checked: readonly string[];
}

/** What every result document has. */
interface ResultDocument {
  readonly version: 1;
  readonly result: 'ok' | 'failed' | 'cancelled';
  readonly seconds: number;
  /** The first of the problems. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

export interface RestoreResult extends ResultDocument {
  readonly pvcs: readonly PvcResult[];
  readonly problems?: readonly Problem[];
}

export interface DryRunResult extends RestoreResult {
  /** What a run would take; null when the check found problems. */
  readonly dryRun: {
    readonly bytesToFetch: number;
    /** Bytes of scratch for the largest PVC, headroom included; 0 for `stream`. */
    readonly scratchNeeded: number;
    /** Bytes available in scratch; null without scratch, and when its file system does not report them. */
    readonly scratchFree: number | null;
  } | null;
}

export interface VerifyResult extends ResultDocument {
  readonly pvcs: readonly VerifiedPvc[];
  /** What makes a disk broken, or kept it from being verified. */
  readonly problems: readonly Problem[];
}

export interface VerifiedPvc {
  readonly name: string;
  /** `suspect`: a layer shows what no sound backup has (leaked clusters, a dirty bit), or not all data was read. */
  readonly verdict: 'ok' | 'suspect' | 'broken';
  readonly problems: readonly Problem[];
  readonly layers: readonly LayerResult[];
}
