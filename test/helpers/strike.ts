// A restore that has been brought into the middle of a phase and stays there, to be killed or cancelled.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Test } from 'tap';
import type { Phase } from '../../src/progress.ts';
import { JOURNAL } from '../../src/scratch/layout.ts';
import type { Strategy } from '../../src/strategy.ts';
import { MiB } from '../../src/units.ts';
import { type BackupForTest, difference, planFor, truthOf } from './backup.ts';
import { type BadDeviceOptions, badDevice } from './bad-device.ts';
import { bytesAt, isFilled } from './filled.ts';
import { type Gate, gateBefore } from './gate.ts';
import { type LoopDevice, loopDevice } from './loop-device.ts';
import { type Peer, type PeerPlan, startPeer } from './peer.ts';
import { markEnvironment, processesWith } from './processes.ts';
import { type RestoreRun, runRestore } from './restore.ts';
import type { Rgw } from './rgw.ts';
import { tempFolder } from './tmp.ts';
import { untilReadSlowly, type WatchedRestore, watchRestore } from './watched-restore.ts';

export interface Source {
  readonly made: BackupForTest;
  readonly backup: string;
  readonly disk: string;
  readonly rgw: Rgw;
  /** Where `made` was uploaded to. */
  readonly bucket: string;
}

export interface RestoreInPhase {
  readonly run: WatchedRestore;
  readonly strategy: Strategy;
  readonly device: LoopDevice;
  readonly scratch: string;
  /** By which everything that the run has started is found. */
  readonly mark: { readonly KDM_TEST_MARK: string };
  /** The same command once more, on a source and with a qemu-img that behave. */
  again(args?: readonly string[]): Promise<RestoreRun>;
}

/** Phases that a restore can be held in; `checksum` is over within milliseconds. */
export const HELD_PHASES = [
  'preflight',
  'download',
  'rebase',
  'check-image',
  'flatten',
  'convert',
  'copy',
  'verify',
  'finalize',
] as const satisfies readonly Phase[];

export type HeldPhase = (typeof HELD_PHASES)[number];

/** What qemu-img is asked to do in a phase, as `gateBefore` matches it; edges are read side by side. */
const CALLS: Readonly<Partial<Record<HeldPhase, { readonly pattern: string; readonly nth?: number }>>> = {
  rebase: { pattern: '^rebase', nth: 2 },
  'check-image': { pattern: '^check' },
  flatten: { pattern: '^convert.*disk\\.raw' },
  verify: { pattern: '^compare' },
  finalize: { pattern: '^convert.*edge-[0-9]+\\.raw', nth: 2 },
};

/** Bytes a second that the device takes: slow enough to be met in the middle. */
const SLOW = 4 * MiB;

const SLOWNESS: Readonly<Partial<Record<HeldPhase, Omit<BadDeviceOptions, 'size'>>>> = {
  convert: { writesPerSecond: SLOW },
};

/** Where no qemu-img can be held: our process reads the target back, and writes the edges, by itself. */
const SLOWNESS_OF_STREAM: typeof SLOWNESS = {
  copy: { writesPerSecond: SLOW },
  verify: { readsPerSecond: SLOW },
  finalize: { writesPerSecond: SLOW },
};

function usual(phase: HeldPhase): Strategy {
  if (phase === 'copy') return 'stream';
  return phase === 'flatten' ? 'staged-raw' : 'staged';
}

interface HoldOptions {
  /** Gives it a process group of its own, as a shell does. */
  readonly detached?: boolean;
  readonly strategy?: Strategy;
}

export async function restoreInPhase(
  t: Test,
  source: Source,
  phase: HeldPhase,
  options: HoldOptions = {},
): Promise<RestoreInPhase> {
  const start = (): Promise<RestoreInPhase> => bringInto(t, source, phase, options);
  return await (phase === 'verify' && options.strategy === 'stream' ? untilReadSlowly(start) : start());
}

async function bringInto(
  t: Test,
  source: Source,
  phase: HeldPhase,
  { detached = false, strategy }: HoldOptions,
): Promise<RestoreInPhase> {
  const { made, backup, disk, rgw, bucket } = source;
  const { size } = sizeOf(source);
  const used = strategy ?? usual(phase);
  const slowness = used === 'stream' ? SLOWNESS_OF_STREAM[phase] : SLOWNESS[phase];
  const device = slowness === undefined ? loopDevice(t, { size }) : await badDevice(t, { size, ...slowness });
  const scratch = join(tempFolder(t), 'scratch');
  const peer = await startPeer({ upstream: rgw.endpoint, plan: holdIn(phase) }, t);
  const plan = await planFor(
    made,
    backup,
    { [disk]: device.path },
    { s3: { rgw: { ...rgw, endpoint: peer.endpoint }, bucket }, scratch },
  );
  const call = used === 'stream' ? undefined : CALLS[phase];
  const gate = call === undefined ? undefined : gateBefore(t, call.pattern, call);
  const mark = markEnvironment();
  const env = { ...rgw.env, XDG_RUNTIME_DIR: tempFolder(t) };
  const args = ['--part-size', '1Mi', '--strategy', used, '--verify', 'compare'];
  const run = watchRestore(t, plan, args, { env: { ...env, ...mark, ...gate?.env }, detached });
  await Promise.race([
    isIn(phase, { run, gate, peer, mark, scratch, device }),
    run.end.then(({ stderr }) => Promise.reject(new Error(stderr))),
  ]);
  return {
    run,
    strategy: used,
    device,
    scratch,
    mark,
    again: async (more = []) => {
      peer.plan = () => undefined;
      return await runRestore(plan, [...args, ...more], { ...env, ...mark });
    },
  };
}

/** The device holds the true disk. */
export async function holdsTruth({ made, backup, disk }: Source, device: LoopDevice): Promise<string | undefined> {
  execFileSync('blockdev', ['--flushbufs', device.path]);
  return await difference(device.file, truthOf(made, backup, disk));
}

/** What a boot or a mount would find on the device: '' when it is nothing. */
export function probe(device: LoopDevice): string {
  try {
    return execFileSync('blkid', ['--probe', device.path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    // Exit status 2: it found nothing.
    return '';
  }
}

/** What stands at the device's beginning: nothing, a claim of ours, or something else. */
export function headOf(device: Pick<LoopDevice, 'file'>): 'blank' | 'claim' | 'data' {
  const head = bytesAt(device.file, 0, 4096);
  if (isFilled(head)) return 'blank';
  return head.toString('latin1').startsWith('kubevirt-datamover claim\n') ? 'claim' : 'data';
}

function sizeOf({ made, backup, disk }: Source): { readonly size: number } {
  const layer = made.checkpoints.find((one) => one.backup === backup)?.layers.find((one) => one.disk === disk);
  if (layer === undefined) throw new Error(`${backup} holds no ${disk}`);
  return { size: layer.virtualSize };
}

/** The source holds a run back where qemu-img cannot: it answers nothing, or only half of the base. */
function holdIn(phase: HeldPhase): PeerPlan {
  if (phase === 'preflight') return () => ({ kind: 'stall' });
  if (phase !== 'download') return () => undefined;
  return ({ method, range }) =>
    method === 'GET' && range !== undefined && range.first >= 4 * MiB ? { kind: 'stall', after: 1000 } : undefined;
}

async function isIn(
  phase: HeldPhase,
  options: Pick<RestoreInPhase, 'run' | 'mark' | 'scratch' | 'device'> & {
    readonly gate: Gate | undefined;
    readonly peer: Peer;
  },
): Promise<void> {
  const { run, gate, peer, mark, scratch, device } = options;
  // Where the gate is, a layer may be examined while others are still fetched.
  if (gate === undefined) await run.untilPhase(phase);
  else await gate.reached();
  if (phase === 'preflight') await seen(() => peer.requests.length > 0);
  if (phase === 'download') {
    await seen(() => peer.requests.some(({ fault, sent }) => fault !== undefined && sent > 0));
    await seen(() => hasFetchedPart(scratch));
  }
  if (phase === 'convert') {
    await seen(() => processesWith(mark).some(({ command }) => command.startsWith('qemu-img convert')));
  }
  if (phase === 'copy') {
    await seen(() => !isFilled(readFileSync(device.file).subarray(MiB, -MiB)));
  }
}

/** Whether a part is recorded: what an earlier run fetched is kept only then. */
function hasFetchedPart(scratch: string): boolean {
  return readdirSync(scratch, { recursive: true, encoding: 'utf8' })
    .filter((path) => basename(path) === JOURNAL)
    .some((path) => readFileSync(join(scratch, path), 'utf8').includes('"t":"part"'));
}

/** Asks again with every turn of the loop: what is waited for has no event of its own. */
async function seen(fact: () => boolean): Promise<void> {
  while (!fact()) await new Promise((resolve) => setTimeout(resolve, 5));
}
