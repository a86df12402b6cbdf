// One run of the campaign: a seed, a restore under its faults, restarts, and whether the promises held.
import { readdirSync } from 'node:fs';
import { planFor, truthOf } from '../../../test/helpers/backup.ts';
import { startPeer } from '../../../test/helpers/peer.ts';
import { tempFolder } from '../../../test/helpers/tmp.ts';
import { attempt } from './attempt.ts';
import type { SharedBackup } from './backups.ts';
import { dialectNamed } from './dialect.ts';
import type { Drawn } from './draw.ts';
import type { LongestBlock } from './output.ts';
import { withOwner } from './owner.ts';
import { withPatience } from './patience.ts';
import { judge, type RestoredDisk, type TargetStates } from './promise.ts';
import { makeScratch } from './scratch.ts';
import { BEHAVES, sourcePlan } from './source.ts';
import { makeTarget } from './target.ts';

export interface RunResult {
  readonly drawn: Drawn;
  /** `restored` or the code that it ended with. */
  readonly outcome: string;
  /** How each start ended: `ok`, a code, `killed`. */
  readonly attempts: readonly string[];
  /** Promises that were broken; none in a good run. */
  readonly broken: readonly string[];
  readonly seconds: number;
  /** Of all attempts of which it is known. */
  readonly block: LongestBlock | undefined;
  /** The last attempt's stderr, of a run that broke a promise. */
  readonly log?: string;
}

/** Restarts after the first attempt. */
const RESTARTS = 5;

export async function runOnce(drawn: Drawn, shared: SharedBackup): Promise<RunResult> {
  const began = performance.now();
  return await withOwner(async (owner) => {
    const { made, backup, store, sourceBy } = shared;
    const disks: RestoredDisk[] = [];
    for (const [index, { name, size }] of shared.disks.entries()) {
      const kind = index === 0 ? drawn : { ...drawn, target: 'blank device' as const };
      const target = await withPatience(() => makeTarget(owner, kind, size));
      disks.push({ name, target, truth: truthOf(made, backup, name) });
    }
    const scratch = await withPatience(() => makeScratch(owner, drawn, needOf(drawn, shared)));
    const peer = await startPeer(
      { upstream: store.origin, seed: drawn.seed, dialect: dialectNamed(drawn.dialect) },
      owner,
    );
    const runtime = tempFolder(owner);
    const paths = Object.fromEntries(disks.map(({ name, target }) => [name, target.path]));
    const plan = await planFor(made, backup, paths, {
      scratch: scratch.path,
      sha256: drawn.sha256,
      chains: drawn.chains,
      edit: (document) => {
        document.source = sourceBy(peer.endpoint);
      },
    });
    const args = ['--part-size', '1Mi', '--strategy', drawn.strategy, '--verify', drawn.verify];
    if (disks.some(({ target }) => target.dirty)) args.push('--force');
    const attempts: string[] = [];
    let log = '';
    let states: TargetStates = new Map();
    let block: LongestBlock | undefined;
    const timeout = drawn.readTimeout === undefined ? {} : { KUBEVIRT_DM_READ_TIMEOUT_SECONDS: `${drawn.readTimeout}` };
    for (let index = 0; index <= RESTARTS; index += 1) {
      const mended = index >= drawn.mendedAt;
      const limit = mended ? undefined : drawn.limit;
      peer.plan = mended ? BEHAVES : sourcePlan(drawn);
      if (mended) scratch.free();
      const end = await attempt(owner, {
        plan,
        args,
        env: { ...store.env, ...timeout, XDG_RUNTIME_DIR: runtime },
        blow: drawn.blows[index],
        output: drawn.output,
        limit,
        pause: drawn.pause?.attempt === index ? drawn.pause : undefined,
        onPhase: onPhaseOf(drawn, { mended, scratch, disks }),
      });
      const judged = await judge(end, {
        disks,
        scratch: scratch.path,
        before: states,
        killedBefore: attempts.includes('killed'),
        limit,
        sourceBehaves: mended || drawn.source === 'none',
      });
      block = longer(block, end.block);
      states = judged.states;
      attempts.push(judged.outcome);
      log = end.stderr;
      const result = { drawn, outcome: outcomeOf(judged.outcome), attempts, seconds: secondsSince(began), block };
      if (judged.broken.length > 0) return { ...result, broken: judged.broken, log: end.stderr };
      if (judged.outcome === 'killed' && end.document?.result === 'ok') {
        // Between its result and its exit: what it printed counts, and no later run has to find it again.
        const wrong = disks.filter(({ name }) => judged.states.get(name) !== 'restored');
        return { ...result, outcome: 'restored', broken: wrong.map(({ name }) => `${name}: said ok, is not restored`) };
      }
      const hopeless = disks.some(({ target }) => !target.sound) && index >= drawn.blows.length && mended;
      if (judged.outcome === 'ok')
        return { ...result, broken: readdirSync(runtime).map((name) => `left in the runtime directory: ${name}`) };
      if (hopeless) return { ...result, broken: [] };
    }
    const broken = [`not restored after ${RESTARTS} restarts`];
    return { drawn, outcome: attempts.at(-1) ?? '', attempts, broken, seconds: secondsSince(began), block, log };
  });
}

function onPhaseOf(
  { scratch: fault, fillPhase, target, place, strategy }: Drawn,
  {
    mended,
    scratch,
    disks,
  }: { mended: boolean; scratch: ReturnType<typeof makeScratch>; disks: readonly RestoredDisk[] },
): Parameters<typeof attempt>[1]['onPhase'] {
  const phase = fillPhase === 'flatten' && strategy !== 'staged-raw' ? 'convert' : fillPhase;
  if (fault === 'fills up' && !mended) return { phase, act: () => scratch.fill() };
  const die = disks[0]?.target.die;
  if (target === 'dying device' && die !== undefined) {
    const writing = strategy === 'stream' ? 'copy' : 'convert';
    return { phase: place < 0.7 ? writing : 'finalize', act: die };
  }
  return undefined;
}

function longer(a: LongestBlock | undefined, b: LongestBlock | undefined): LongestBlock | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { delayMs: Math.max(a.delayMs, b.delayMs), cpuMs: Math.max(a.cpuMs, b.cpuMs) };
}

function outcomeOf(last: string): string {
  return last === 'ok' ? 'restored' : last;
}

/** Scratch of the largest PVC, without headroom. */
function needOf({ strategy }: Drawn, { made, disks, backup }: SharedBackup): number {
  const needs = disks.map(({ name, size }) => {
    const chain = made.checkpoints.slice(0, made.checkpoints.findIndex((one) => one.backup === backup) + 1);
    const layers = chain.flatMap(({ layers: all }) => all.filter(({ disk }) => disk === name));
    return layers.reduce((sum, layer) => sum + layer.size, 0) + (strategy === 'staged-raw' ? size : 0);
  });
  return Math.max(...needs);
}

function secondsSince(began: number): number {
  return Math.round((performance.now() - began) / 100) / 10;
}
