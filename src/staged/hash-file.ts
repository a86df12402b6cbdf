// Hashes of a file, taken on a thread of their own: at some 0.5 to 2 GB/s a core they would else hold up every socket.
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { CRC32C } from './crc32c.ts';

export interface HashFileOptions {
  /** Bytes read since the last call. */
  readonly onBytes: (count: number) => void;
  readonly signal: AbortSignal;
}

const messageSchema = z.union([
  z.object({ read: z.number() }),
  z.object({ hashes: z.array(z.tuple([z.string(), z.string()])) }),
  z.object({ error: z.object({ message: z.string(), code: z.string().optional() }) }),
]);

/**
 * Lower-case hex of the file's bytes by algorithm (OpenSSL's names, or `crc32c`). Rejects with a system error when it cannot be read,
 * with the signal's reason when that is aborted; the thread has ended in every case.
 */
export async function hashFile(
  path: string,
  algorithms: readonly string[],
  { onBytes, signal }: HashFileOptions,
): Promise<ReadonlyMap<string, string>> {
  signal.throwIfAborted();
  const worker = new Worker(THREAD, {
    eval: true,
    workerData: { path, algorithms },
    execArgv: [],
    env: {},
    resourceLimits: { codeRangeSizeMb: CODE_MB },
  });
  const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<string, string>>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort);
  worker.on('error', reject);
  worker.on('exit', () => reject(new Error(`the thread that hashes ${path} exited early`)));
  worker.on('message', (sent: unknown) => {
    const { data: message, error } = messageSchema.safeParse(sent);
    if (message === undefined) reject(error);
    else if ('read' in message) onBytes(message.read);
    else if ('hashes' in message) resolve(new Map(message.hashes));
    else reject(Object.assign(new Error(message.error.message), { code: message.error.code }));
  });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    await worker.terminate();
  }
}

/** V8 reserves 512 MiB for the code of each thread, and aborts the process where a limit of memory is in the way. */
const CODE_MB = 16;

/**
 * A string, so that it is there in every form that the program takes: sources, dist/, one bundled file. It waits for
 * each read: nothing else runs on its thread.
 */
const THREAD = `
const { createHash } = require('node:crypto');
const { closeSync, openSync, readSync } = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
const crc32c = ${CRC32C};
const hashes = workerData.algorithms.map((name) => [name, name === 'crc32c' ? crc32c() : createHash(name)]);
const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
try {
  const file = openSync(workerData.path, 'r');
  for (let count = 1; count > 0; ) {
    count = readSync(file, buffer, 0, buffer.length, null);
    for (const [, hash] of hashes) hash.update(buffer.subarray(0, count));
    parentPort.postMessage({ read: count });
  }
  closeSync(file);
  parentPort.postMessage({ hashes: hashes.map(([algorithm, hash]) => [algorithm, hash.digest('hex')]) });
} catch (error) {
  parentPort.postMessage({ error: { message: error.message, code: error.code } });
}
`;
