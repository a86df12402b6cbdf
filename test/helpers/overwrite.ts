// The same bytes written into a layer and into the true disk: a layer that was replaced by another good one.
import { qemu } from './chain.ts';

/** A complete cluster, since the rest of one would have to come from the parent. */
const WRITE = 'write -q -P 0xab 1M 256k';

/** Without the backing file that the layer records, which exists nowhere. */
export function overwriteLayer(path: string): void {
  const file = { driver: 'file', filename: path };
  qemu('qemu-io', '-c', WRITE, `json:${JSON.stringify({ driver: 'qcow2', backing: null, file })}`);
}

export function overwriteDisk(raw: string): void {
  qemu('qemu-io', '-f', 'raw', '-c', WRITE, raw);
}
