// The same bytes written into a layer and into a copy of the true disk: a layer that was replaced by another good one.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { qemu } from './chain.ts';

/** A complete cluster, since the rest of one would have to come from the parent. */
const WRITE = 'write -q -P 0xab 1M 256k';

/** Without the backing file that the layer records, which exists nowhere. */
export function overwriteLayer(path: string): void {
  const file = { driver: 'file', filename: path };
  qemu('qemu-io', '-c', WRITE, `json:${JSON.stringify({ driver: 'qcow2', backing: null, file })}`);
}

/** The path of the copy, in `folder`: other tests compare with the true disk too. */
export function overwrittenDisk(raw: string, folder: string): string {
  const copy = join(folder, `${crypto.randomUUID()}.raw`);
  copyFileSync(raw, copy);
  qemu('qemu-io', '-f', 'raw', '-c', WRITE, copy);
  return copy;
}
