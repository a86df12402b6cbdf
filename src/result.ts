// The result documents: their keys are a contract (design section 7).
import type { Problem } from './errors.ts';
import type { PhaseSeconds } from './progress.ts';
import type { KeptFrom, PvcState } from './pvc-state.ts';
import type { Strategy } from './strategy.ts';
import type { FileFormat } from './target-file-name.ts';

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
  /** How, where `verified`: `compare` with the layers, read again; `read-back` against checksums of the bytes as they were received. */
  readonly verifiedBy?: VerifiedBy;
  /** Where it was restored to; missing for a PVC that was not started, and where the system does not tell. */
  readonly targetInfo?: TargetInfo;
  /** With `--hash`: of what was read back from the target. */
  readonly hash?: TargetHash;
  /** Of a PVC that is `kept`; missing where the journal was written before it recorded this. */
  readonly keptFrom?: KeptFrom;
  /** With `stream`: qemu-img read the layers and wrote the target, since the map of the chain could not place every byte. */
  readonly via?: 'qemu';
  /** Of each phase that ran for this PVC, and `total`, which they never exceed together. */
  readonly seconds: Readonly<PhaseSeconds> & { readonly total: number };
  readonly warnings?: readonly string[];
}

export type VerifiedBy = 'compare' | 'read-back';

export type TargetInfo =
  | {
      readonly kind: 'block';
      readonly realPath: string;
      /** Bytes. */
      readonly size: number | null;
      /** Bytes of a logical block. */
      readonly sectorSize: number;
      /** Serial number, WWN or backing file, as the kernel has it; null where it has none. */
      readonly medium: string | null;
      /** Names under /dev/disk/by-id. */
      readonly byId: readonly string[];
    }
  | {
      readonly kind: 'file';
      readonly realPath: string;
      readonly format: FileFormat;
      /** Bytes; null where there is no file. */
      readonly size: number | null;
    };

export interface TargetHash {
  readonly algorithm: 'sha256';
  /** Lower case. */
  readonly hex: string;
  /** A device is read as far as the disk goes. */
  readonly of: 'disk' | 'file';
  readonly bytes: number;
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
  /** The version of the object, as its store names it; null when it was not learnt. */
  readonly etag?: string | null;
  /** As the plan or the store declares it; missing where neither does. */
  readonly sha256?: string;
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
  /** Versions; of a tool that was not asked for its version there is none. */
  readonly tools?: Readonly<Record<string, string>>;
  readonly problems?: readonly Problem[];
}

export interface DryRunResult extends RestoreResult {
  /** What a run would take; null when the check found problems. */
  readonly dryRun: {
    readonly bytesToFetch: number;
    /** Requests to the source, the checks before the restore included; null for a directory. */
    readonly requestsToSend: number | null;
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
