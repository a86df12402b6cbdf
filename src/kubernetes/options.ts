// What `manifest` is asked for: the options of the objects that it prints.
import type { Strategy } from '../strategy.ts';

export interface ManifestOptions {
  readonly image: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly scratch: ScratchChoice;
  /** A Secret whose keys are the files that the plan names, and `cloud`, the credentials, when it names none. */
  readonly secret?: string;
  readonly strategy: Strategy;
  readonly force: boolean;
  /** Restore a plan whose order is unproven. */
  readonly acceptUnproven?: boolean;
  readonly runAsRoot: boolean;
  /** The group that may write volumes; undefined where the cluster chooses it, as OpenShift does. */
  readonly fsGroup?: number;
  /** Names of target PVCs, by the PVC's name in the plan; one that is absent has that name itself. */
  readonly claims: ReadonlyMap<string, string>;
}

export type ScratchChoice =
  /** A volume that lives as long as its pod. `size` in bytes; undefined for what the plan needs. */
  | { readonly kind: 'ephemeral'; readonly storageClass?: string; readonly size?: number }
  /** A claim that is there already: a new pod goes on where the last one stopped. */
  | { readonly kind: 'claim'; readonly claim: string };
