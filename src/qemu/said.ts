// What QEMU's tools say on stderr, and what their exit status does not.

/** What a tool said last on stderr, as the end of a message: `: why`, or nothing. */
export function lastErrorLine(stderr: string): string {
  const line = stderr.trim().split('\n').at(-1)?.trim() ?? '';
  const text = line.replace(/^qemu-(?:img|io|nbd): /, '');
  if (text === '') return '';
  // The reason stands at the end, behind file names that may be graphs of many KiB.
  return `: ${text.length > 300 ? `…${text.slice(-300)}` : text}`;
}

/** Whether a tool says that there was no room for what it wrote. */
export function isOutOfSpace(text: string): boolean {
  return /No space left on device|Disk quota exceeded/.test(text);
}

/**
 * Whether a tool could not write the last tables of a qcow2 image when it closed it. It only prints that, and exits with 0; what the
 * tables named is lost, and `qemu-img check` may find nothing wrong.
 */
export function isUnwritten(stderr: string): boolean {
  return /Failed to flush the .* cache/.test(stderr);
}
