// Waiting for what cannot be cancelled, without being held by it.

/** What `pending` gives, or the signal's reason as soon as it is aborted; `pending` then runs on by itself. */
export async function orAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([pending, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop);
  }
}
