/** A virtual machine, as backups and plans name it. */
export interface VmRef {
  readonly namespace: string;
  readonly name: string;
}
