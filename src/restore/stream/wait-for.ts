// Waiting for something that several wait for, each only as long as its own signal says.

/** Settles as `pending`, or rejects with the signal's reason as soon as that is aborted; `pending` goes on for the others. */
export function waitFor<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    pending.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
