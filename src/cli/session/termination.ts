// The termination message of a pod: `kubectl describe pod` shows why it failed.
import { stat, writeFile } from 'node:fs/promises';
import type { Problem } from '../../errors.ts';
import { inPod } from '../../in-pod.ts';
import type { WrittenPath } from '../../paths/uses.ts';

/** Kubernetes keeps this much (Container v1, terminationMessagePath: "limited to 4096 bytes"). */
const MAX_BYTES = 4096;

/** The file as one that is written; none outside of a pod. */
export function terminationPaths(env: NodeJS.ProcessEnv): WrittenPath[] {
  const path = terminationLog(env);
  return path === undefined ? [] : [{ kind: 'termination log', path }];
}

/**
 * Writes code, message and hint of each problem, as many as fit, to the file that Kubernetes made for it
 * (`KUBEVIRT_DM_TERMINATION_LOG`, default `/dev/termination-log`). Nothing happens outside of a pod, without the file, or
 * when that is longer than any message.
 */
export async function writeTerminationMessage(problems: readonly Problem[], env: NodeJS.ProcessEnv): Promise<void> {
  const path = terminationLog(env);
  if (path === undefined || problems.length === 0) return;
  try {
    const stats = await stat(path);
    // What is longer is no termination message: a layer or an index that the variable names by mistake.
    if (!stats.isFile() || stats.size > MAX_BYTES) return;
    // Written in place: Kubernetes mounts this one file, so it can be neither made nor renamed over.
    await writeFile(path, terminationMessage(problems));
  } catch {
    // Nothing is lost: the same words stand in the log, and the exit status tells the rest.
  }
}

function terminationLog(env: NodeJS.ProcessEnv): string | undefined {
  return inPod(env) ? env.KUBEVIRT_DM_TERMINATION_LOG?.replace(/[\r\n]+$/, '') || '/dev/termination-log' : undefined;
}

/** At most 4096 bytes of UTF-8, cut between characters. */
export function terminationMessage(problems: readonly Problem[]): string {
  const text = problems
    .map(({ pvc, code, message, hint }) => {
      const about = pvc === undefined ? '' : `${pvc}: `;
      return `${code}: ${about}${message}${hint === '' ? '' : `\nhint: ${hint}`}`;
    })
    .join('\n');
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_BYTES) return text;
  const ellipsis = '…';
  let end = MAX_BYTES - Buffer.byteLength(ellipsis);
  // Bytes 10xxxxxx continue a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end) + ellipsis;
}
