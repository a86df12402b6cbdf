// The progress that `qemu-img -p` prints: `    (12.34/100%)`, separated by carriage returns. Pure.

/**
 * A reader for the pieces of stdout as they come, however they are cut. It calls `onProgress` with the newest fraction,
 * 0…1, once per piece at most, and never with a smaller one than before.
 */
export function progressReader(onProgress: (fraction: number) => void): (piece: string) => void {
  let rest = '';
  let last = -1;
  return (piece) => {
    const text = rest + piece;
    const end = text.lastIndexOf(')');
    rest = text.slice(end + 1).slice(-MAX_REST);
    if (end === -1) return;
    const newest = [...text.slice(0, end + 1).matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1)?.[1];
    if (newest === undefined) return;
    const fraction = Math.min(1, Number(newest) / 100);
    if (fraction <= last) return;
    last = fraction;
    onProgress(fraction);
  };
}

/** Longer than any unfinished `    (100.00/100%)`. */
const MAX_REST = 64;
