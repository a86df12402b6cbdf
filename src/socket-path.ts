// How long the path of a Unix socket may be.

/** Bytes of sockaddr_un's sun_path (unix(7)), without its closing NUL. */
export const MAX_SOCKET_PATH = 107;

/** Whether a Unix socket can be bound to `path`. */
export function fitsSocketPath(path: string): boolean {
  return Buffer.byteLength(path) <= MAX_SOCKET_PATH;
}
