// Where an NBD server listens, and how that is written for clients. Facts: NetworkBlockDevice/nbd, doc/uri.md.

export type NbdAddress =
  /** A Unix socket, at most 107 bytes long. */
  | { readonly socketPath: string }
  /** Loopback only: the protocol has no passwords. */
  | { readonly host: '127.0.0.1' | '::1'; readonly port: number };

/** The URI of an export: `nbd+unix:///name?socket=/path` or `nbd://127.0.0.1:10809/name`. */
export function nbdUri(address: NbdAddress, exportName: string): string {
  const name = encodeURIComponent(exportName);
  if ('socketPath' in address) {
    const path = address.socketPath.split('/').map(encodeURIComponent).join('/');
    return `nbd+unix:///${name}?socket=${path}`;
  }
  const host = address.host === '::1' ? '[::1]' : address.host;
  return `nbd://${host}:${address.port}/${name}`;
}
