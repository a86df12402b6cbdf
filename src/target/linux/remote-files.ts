// Which open files lie on a file system whose server may be gone: whoever asks after such a file waits for the server,
// without an end.
import { readFileSync, readlinkSync } from 'node:fs';
import { systemCode } from '../../errors.ts';
import { type Mount, readMounts } from './mounts.ts';

/** The mounts of all processes as one look over /proc finds them, each mount table read once. */
export class RemoteFiles {
  readonly #tables = new Map<string, Promise<ReadonlyMap<string, Mount>>>();
  readonly #tableByPid = new Map<string, Promise<ReadonlyMap<string, Mount>>>();

  /**
   * The mount that a process's descriptor lies on, if a server stands behind it; undefined for any other, and for one that
   * cannot be told. Asks the kernel alone.
   */
  async mountOf(pid: string, fd: string): Promise<Mount | undefined> {
    const info = ifVisible(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '';
    const id = /^mnt_id:\s*(\d+)/m.exec(info)?.[1];
    if (id === undefined) return undefined;
    const mount = (await this.#tableOf(pid)).get(id) ?? (await this.#tableOf('self')).get(id);
    return mount !== undefined && REMOTE.test(mount.type) ? mount : undefined;
  }

  #tableOf(pid: string): Promise<ReadonlyMap<string, Mount>> {
    const known = this.#tableByPid.get(pid);
    if (known !== undefined) return known;
    const namespace = ifVisible(() => readlinkSync(`/proc/${pid}/ns/mnt`));
    const root = ifVisible(() => readlinkSync(`/proc/${pid}/root`));
    // Processes of one mount namespace see the same table, but for those in a root of their own.
    const key = namespace === undefined || root === undefined ? pid : `${namespace} ${root}`;
    const table = this.#tables.get(key) ?? readTable(pid);
    this.#tables.set(key, table);
    this.#tableByPid.set(pid, table);
    return table;
  }
}

async function readTable(pid: string): Promise<ReadonlyMap<string, Mount>> {
  return new Map((await readMounts(pid)).map((mount) => [mount.id, mount]));
}

const REMOTE = /^(nfs4?|cifs|smb3|smbfs|fuse(\..+)?|ceph|9p|afs|lustre|beegfs|gpfs|orangefs|coda|ncpfs)$/;

/** Undefined where the process has ended, or is closed to us. */
export function ifVisible<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
