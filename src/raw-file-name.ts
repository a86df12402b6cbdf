// Which target names mean a raw file that may be created.

/** Whether `path` ends as a raw file does. Any other name that does not exist may be a mistyped device. */
export function isRawFileName(path: string): boolean {
  return /\.(raw|img)$/.test(path);
}
