// A backup on the real S3 server behind a peer that counts, and how a run of it is killed.
import { once } from 'node:events';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type BackupForTest, madeBackup, type PlanForOptions, planFor, uploadBucket } from './backup.ts';
import { type Peer, startPeer } from './peer.ts';
import { type Rgw, startRgw } from './rgw.ts';
import { tempFolder } from './tmp.ts';
import type { WatchedRestore } from './watched-restore.ts';

export interface Stage {
  readonly made: BackupForTest;
  readonly rgw: Rgw;
  readonly bucket: string;
  readonly peer: Peer;
  readonly scratch: string;
  plan(targets: Readonly<Record<string, string>>, options?: PlanForOptions): Promise<string>;
}

export async function stageOf(t: Test, shape: Parameters<typeof madeBackup>[1]): Promise<Stage> {
  const rgw = await startRgw(t);
  const made = await madeBackup(t, shape);
  const bucket = await uploadBucket(rgw, made);
  const peer = await startPeer({ upstream: rgw.endpoint }, t);
  const scratch = join(tempFolder(t), 'scratch');
  const backup = made.checkpoints.at(-1)?.backup ?? '';
  const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
  const plan = async (targets: Readonly<Record<string, string>>, options: PlanForOptions = {}): Promise<string> =>
    await planFor(made, backup, targets, { s3, scratch, ...options });
  return { made, rgw, bucket, peer, scratch, plan };
}

export async function kill({ child }: WatchedRestore): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

/** Body bytes of all layers that the peer has sent. */
export const fetched = (peer: Peer): number => peer.bytes('.qcow2');
