// `--dry-run`: the whole check, and what a run would do; nothing is made, claimed or written.
import { randomUUID } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { withSourceAnswer } from '../chain/ask-source.ts';
import type { CheckedChain } from '../chain/check-layers.ts';
import { addEstimates, type FetchEstimate } from '../chain/fetch-estimate.ts';
import { newStats } from '../chain/tally.ts';
import { type Problem, toDatamoverError } from '../errors.ts';
import { placeInPlan } from '../plan/plan.ts';
import { planId } from '../plan/plan-id.ts';
import { collect } from '../problems.ts';
import { secondsSince } from '../progress.ts';
import type { DryRunResult } from '../result.ts';
import { type FoundFolder, inspectWorkFolder } from '../scratch/inspect.ts';
import { reportFolder } from '../scratch/report.ts';
import { chooseRoot, withRuntimeFolder } from '../scratch/runtime-folder.ts';
import { layerFileName } from '../staged/download.ts';
import { estimateLayer } from '../staged/estimate.ts';
import { estimateFetch } from '../stream/estimate.ts';
import { DEFAULT_WINDOW, STREAM_CONCURRENCY } from '../stream/stream.ts';
import type { Target } from '../target/target.ts';
import { describeDiscarded } from './discard-left.ts';
import { describeKept, needsLayers } from './kept.ts';
import { askedOf, type RestoreOptions } from './options.ts';
import { Outcomes } from './outcomes.ts';
import { scratchToCheck } from './plan-space.ts';
import { type Checked, type CheckedDisk, checkAll, whileAskingQemu } from './preflight.ts';
import { addTargets } from './preflight-paths.ts';
import type { CheckRun } from './preflight-targets.ts';

/** As `restore`, up to the first step that would write anything: every PVC is `planned`, or `failed` with its problems. */
export async function dryRun(options: RestoreOptions): Promise<DryRunResult> {
  const began = performance.now();
  const outcomes = new Outcomes(options);
  try {
    const checked = await checkOnly(options, outcomes);
    return { ...outcomes.document(secondsSince(began)), dryRun: checked };
  } catch (error) {
    return { ...outcomes.document(secondsSince(began), toDatamoverError(error, options.signal)), dryRun: null };
  }
}

async function checkOnly(options: RestoreOptions, outcomes: Outcomes): Promise<DryRunResult['dryRun']> {
  const { plan, signal, strategy, progress } = options;
  addTargets(options);
  const problems: Problem[] = [];
  const root = await collect(problems, () => chooseRoot(options));
  progress.report({ type: 'phase-started', phase: 'preflight' });
  let requests = 0;
  const onRequest = (): void => {
    requests += 1;
  };
  return await whileAskingQemu(options, (qemu) =>
    withSourceAnswer({ ...options, ...askedOf(options), onRequest, targetsUsed: true }, async (answer) => {
      outcomes.resolved(answer.disks);
      const folder = root === undefined ? undefined : await collect(problems, () => lookAtFolder(options, root));
      const targets: Target[] = [];
      try {
        const run = { options, store: answer.store, folder, planId: planId(plan), runId: randomUUID(), signal };
        const scratch = scratchToCheck({ strategy, root, folder, problems });
        const checked = await checkAll(run, { answer, problems, targets, scratch, root, qemu });
        for (const pvc of checked.space.discarded) {
          const bytes = folder?.left.of(placeInPlan(plan, pvc)) ?? 0;
          progress.report({ type: 'info', pvc, message: describeDiscarded(bytes, { dryRun: true }) });
        }
        for (const disk of checked.disks) recordPlanned(options, outcomes, disk);
        const { scratchNeeded, scratchFree } = checked.space;
        const data = await estimateData(run, checked, folder);
        // A run sends again what was sent until now.
        const requestsToSend = plan.source.kind === 'directory' ? null : requests + data.requests;
        return { bytesToFetch: data.bytes, requestsToSend, scratchNeeded, scratchFree: scratchFree ?? null };
      } finally {
        for (const target of targets) await target.close();
      }
    }),
  );
}

/** The folder that a run would go on from. */
async function lookAtFolder({ plan, fresh, progress }: RestoreOptions, root: string): Promise<FoundFolder> {
  const id = planId(plan);
  const folder = await inspectWorkFolder({ root, planId: id, fresh });
  await reportFolder({ root, planId: id, folder, progress });
  return folder;
}

function recordPlanned(options: RestoreOptions, outcomes: Outcomes, { chain, target, completed }: CheckedDisk): void {
  const { strategy, progress } = options;
  outcomes.ended({ disk: chain.disk, chain, state: 'planned', strategy, tally: newStats(chain) });
  if (completed === undefined) return;
  const message = describeKept(options, { completed, target }, { dryRun: true });
  progress.report({ type: 'info', pvc: chain.disk.name, message });
}

/** What the layers lack in scratch; of a stream, what it will fetch of them, which takes reading all tables. */
async function estimateData(
  run: CheckRun,
  { disks, space }: Checked,
  folder: FoundFolder | undefined,
): Promise<FetchEstimate> {
  const estimates: FetchEstimate[] = [];
  for (const disk of disks) {
    if (!needsLayers(run.options, disk)) continue;
    const left = space.discarded.includes(disk.chain.disk.name) ? undefined : folder;
    const isStreamed = run.options.strategy === 'stream';
    estimates.push(isStreamed ? await estimateStream(run, disk) : await estimateDownload(run, disk.chain, left));
  }
  return addEstimates(estimates);
}

async function estimateStream(
  { options, store, signal }: CheckRun,
  { chain, target: { sectorSize, format } }: Pick<CheckedDisk, 'chain' | 'target'>,
): Promise<FetchEstimate> {
  const { concurrency = STREAM_CONCURRENCY, window = DEFAULT_WINDOW } = options;
  if (store === undefined) throw new TypeError('a checked chain, but no store');
  const throughQemu = format === 'qcow2';
  return await withRuntimeFolder(options, async (folder) => {
    return await estimateFetch({ store, chain, folder, concurrency, window, sectorSize, throughQemu, signal });
  });
}

async function estimateDownload(
  { options: { plan, partSize } }: CheckRun,
  { disk, layers }: CheckedChain,
  folder: FoundFolder | undefined,
): Promise<FetchEstimate> {
  const place = placeInPlan(plan, disk.name);
  const estimates: FetchEstimate[] = [];
  for (const [index, { info }] of layers.entries()) {
    const { key: object, size, etag } = info;
    const file = folder && join(folder.path, String(place), layerFileName(index));
    const exists = file !== undefined && (await lstat(file).catch(() => undefined))?.isFile() === true;
    const parts = exists ? folder?.journal?.parts({ disk: disk.name, index, object, size, etag }) : undefined;
    estimates.push(estimateLayer({ size, parts: parts ?? [], partSize }));
  }
  return addEstimates(estimates);
}
