// Which open files lie on a file system whose server may be gone: whoever asks after such a file waits for the server,
// without an end.
import { readFile, readlink } from 'node:fs/promises';
import { systemCode } from '../../errors.ts';
import { type Mount, readMounts } from './mounts.ts';

/** The mounts of all processes as one look over /proc finds them, each mount table read once. */
export class RemoteFiles {
  readonly #tables = new Map<string, Promise<ReadonlyMap<string, Mount>>>();

  /**
   * The mount that a process's descriptor lies on, if a server stands behind it; undefined for any other, and for one that
   * cannot be told. Asks the kernel alone.
   */
  async mountOf(pid: string, fd: string): Promise<Mount | undefined> {
    const id = /^mnt_id:\s*(\d+)/m.exec(
      (await undefinedIfRefused(readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))) ?? '',
    )?.[1];
    if (id === undefined) return undefined;
    const mount = (await this.#tableOf(pid)).get(id) ?? (await this.#tableOf('self')).get(id);
    return mount !== undefined && REMOTE.test(mount.type) ? mount : undefined;
  }

  /** Processes of one mount namespace see the same table, but for those in a root of their own. */
  async #tableOf(pid: string): Promise<ReadonlyMap<string, Mount>> {
    const [namespace, root] = await Promise.all([
      undefinedIfRefused(readlink(`/proc/${pid}/ns/mnt`)),
      undefinedIfRefused(readlink(`/proc/${pid}/root`)),
    ]);
    const key = namespace === undefined || root === undefined ? pid : `${namespace} ${root}`;
    const before = this.#tables.get(key);
    if (before !== undefined) return await before;
    const table = readMounts(pid).then((mounts) => new Map(mounts.map((mount) => [mount.id, mount])));
    this.#tables.set(key, table);
    return await table;
  }
}

const REMOTE = /^(nfs4?|cifs|smb3|smbfs|fuse(\..+)?|ceph|9p|afs|lustre|beegfs|gpfs|orangefs|coda|ncpfs)$/;

/** Undefined where the process has ended, or is closed to us. */
async function undefinedIfRefused(looking: Promise<string>): Promise<string | undefined> {
  try {
    return await looking;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
