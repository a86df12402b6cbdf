// What the archived VirtualMachineBackup of a checkpoint (vmb.json) says of it. Optional, and untrusted like every document:
// keys, volumes and conditions that are not known here are ignored.
import { z } from 'zod';
import type { LayerType } from '../chain-order.ts';
import type { VmRef } from '../vm-ref.ts';
import { listOf, parseDocument } from './documents.ts';
import { checkpointPrefix, vmText } from './keys.ts';

export interface BackupFacts {
  /** The document's key. */
  readonly key: string;
  /** The VirtualMachineBackup's name, with which the names of its layers start. */
  readonly name: string | undefined;
  /** RFC 3339. */
  readonly createdAt: string | undefined;
  /** Of the checkpoint. */
  readonly type: LayerType | undefined;
  /** By volume: its own type, where the document has one. A hint where to look, never a proof. */
  readonly volumes: ReadonlyMap<string, LayerType | undefined>;
  /** Undefined where the document does not say, as before KubeVirt recorded it. */
  readonly consistency: Consistency | undefined;
  readonly forcedFull: boolean;
  /** Why the backup failed, with its place in the document. */
  readonly failure: string | undefined;
  /** Why the document is not this checkpoint's, with its place. */
  readonly misplaced: string | undefined;
}

/** Whether the guest's file systems were frozen while the checkpoint was taken. */
export type Consistency = 'quiesced' | 'crash-consistent';

export function backupFactsKey(vm: VmRef, checkpoint: string): string {
  return `${checkpointPrefix(vm, checkpoint)}vmb.json`;
}

/** METADATA_INVALID, naming key and place, for a document of another form. */
export function parseBackupFacts(data: unknown, vm: VmRef, checkpoint: string): BackupFacts {
  const key = backupFactsKey(vm, checkpoint);
  const { metadata, spec, status } = parseDocument(vmBackupDocument, data, key);
  return {
    key,
    name: metadata.name,
    createdAt: metadata.creationTimestamp,
    type: status.type,
    volumes: new Map(status.includedVolumes.map(({ volumeName, type }) => [volumeName, type])),
    consistency: consistencyOf(status.conditions, spec),
    forcedFull: spec.forceFullBackup,
    failure: failureOf(status.conditions),
    misplaced: misplacedReason(vm, checkpoint, { namespace: metadata.namespace, named: status.checkpointName }),
  };
}

const text = z
  .string()
  .nullish()
  .transform((value) => value || undefined);

const flag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false);

/** A type that a later version may add counts as none. */
const layerType = text.transform((value): LayerType | undefined => {
  const word = value?.toLowerCase();
  return word === 'full' || word === 'incremental' ? word : undefined;
});

const condition = z.object({ type: z.string(), status: text, reason: text, message: text });

/** As `schema`, of an object that may be missing. */
function optional<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess((value) => value ?? {}, schema);
}

const vmBackupDocument = z.object({
  metadata: optional(z.object({ name: text, namespace: text, creationTimestamp: text })),
  spec: optional(z.object({ forceFullBackup: flag, skipQuiesce: flag })),
  status: optional(
    z.object({
      type: layerType,
      checkpointName: text,
      includedVolumes: listOf(z.object({ volumeName: z.string(), type: layerType })),
      conditions: listOf(condition),
    }),
  ),
});

type Condition = z.infer<typeof condition>;

function consistencyOf(
  conditions: readonly Condition[],
  { skipQuiesce }: { readonly skipQuiesce: boolean },
): Consistency | undefined {
  const status = conditions.find(({ type }) => type === 'Quiesced')?.status;
  if (status === 'True') return 'quiesced';
  return status === 'False' || skipQuiesce ? 'crash-consistent' : undefined;
}

function failureOf(conditions: readonly Condition[]): string | undefined {
  const index = conditions.findIndex(({ type, status }) => type === 'Failed' && status === 'True');
  if (index === -1) return undefined;
  const { message, reason } = conditions[index] ?? {};
  const why = message ?? reason;
  return `status.conditions[${index}]: Failed${why === undefined ? '' : `: ${why}`}`;
}

function misplacedReason(
  vm: VmRef,
  checkpoint: string,
  { namespace, named }: { readonly namespace: string | undefined; readonly named: string | undefined },
): string | undefined {
  if (named !== undefined && named !== checkpoint) {
    return `status.checkpointName: expected ${checkpoint}, the directory's name, got ${JSON.stringify(named)}`;
  }
  if (namespace === undefined || namespace === vm.namespace) return undefined;
  return `metadata.namespace: expected ${vm.namespace}, that of VM ${vmText(vm)}, got ${JSON.stringify(namespace)}`;
}
