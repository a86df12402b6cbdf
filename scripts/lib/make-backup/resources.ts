// The archived Kubernetes objects of a checkpoint, with the fields of the API backup.kubevirt.io/v1alpha1.
import type { MadeBackup, MadeCheckpoint } from './shape.ts';

const API_GROUP = 'backup.kubevirt.io';
const API_VERSION = `${API_GROUP}/v1alpha1`;

/** `vmb.json`: the VirtualMachineBackup, complete and quiesced. It does not name its parent. */
export function backupResource({ namespace, vm }: MadeBackup, checkpoint: MadeCheckpoint): object {
  const { id, vmBackup, type, timestamp, forced } = checkpoint;
  const source = { apiGroup: API_GROUP, kind: 'VirtualMachineBackupTracker', name: `${vm}-tracker` };
  return {
    apiVersion: API_VERSION,
    kind: 'VirtualMachineBackup',
    metadata: { name: vmBackup, namespace, creationTimestamp: timestamp },
    spec: { source, mode: 'Push', pvcName: `${vm}-backup`, ...(forced ? { forceFullBackup: true } : {}) },
    status: {
      type: type === 'full' ? 'Full' : 'Incremental',
      checkpointName: id,
      conditions: [
        { type: 'Progressing', status: 'False', reason: 'Completed', message: '', lastTransitionTime: timestamp },
        { type: 'Quiesced', status: 'True', reason: 'QuiesceSucceeded', message: '', lastTransitionTime: timestamp },
        { type: 'Complete', status: 'True', reason: 'Completed', message: '', lastTransitionTime: timestamp },
      ],
      includedVolumes: volumesOf(checkpoint),
    },
  };
}

/** `vmbt.json`: the VirtualMachineBackupTracker right after the backup, so its latest checkpoint is this one. */
export function trackerResource({ namespace, vm }: MadeBackup, checkpoint: MadeCheckpoint): object {
  const { id, timestamp } = checkpoint;
  return {
    apiVersion: API_VERSION,
    kind: 'VirtualMachineBackupTracker',
    metadata: { name: `${vm}-tracker`, namespace },
    spec: { source: { apiGroup: 'kubevirt.io', kind: 'VirtualMachine', name: vm } },
    status: { latestCheckpoint: { name: id, creationTime: timestamp, volumes: volumesOf(checkpoint) } },
  };
}

function volumesOf({ layers }: MadeCheckpoint): object[] {
  return layers.map(({ disk }, index) => ({ volumeName: disk, diskTarget: `vd${String.fromCharCode(97 + index)}` }));
}
