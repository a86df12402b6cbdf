// Before `verify --data` reads anything: qemu-img, and in scratch space for the largest layer, since it holds one at a time.
import type { CheckedChain } from '../chain/check-layers.ts';
import type { Problem } from '../errors.ts';
import { freeSpaceAt } from '../free-space.ts';
import { headroomPercentOf, type Plan } from '../plan/plan.ts';
import { collect, throwProblems } from '../problems.ts';
import type { Progress } from '../progress.ts';
import { checkQemu } from '../qemu/check-qemu.ts';
import { inspectWorkFolder } from '../scratch/inspect.ts';
import { scratchNeed } from '../scratch/need.ts';
import type { SpaceNeed } from '../scratch/space.ts';
import { noteOf, spaceProblem } from '../scratch/space-words.ts';
import { verifyId } from './verify-paths.ts';

export interface ReadingOptions {
  readonly plan: Plan;
  /** Undefined where the data is read in memory. */
  readonly scratch?: string;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * What the largest layer needs in scratch; undefined without scratch. Rejects with TOOL_MISSING, SCRATCH_UNUSABLE and
 * SCRATCH_FULL together, with SCRATCH_BUSY alone.
 */
export async function checkReading(
  options: ReadingOptions,
  chains: readonly CheckedChain[],
): Promise<SpaceNeed | undefined> {
  const { plan, scratch, signal } = options;
  const problems: Problem[] = [];
  await collect(problems, () => checkQemu({ signal }));
  const need =
    scratch === undefined ? undefined : await collect(problems, () => checkScratch({ ...options, scratch }, chains));
  throwProblems(problems, plan);
  return need;
}

async function checkScratch(
  { plan, scratch, progress }: ReadingOptions & { readonly scratch: string },
  chains: readonly CheckedChain[],
): Promise<SpaceNeed | undefined> {
  const { freed } = await inspectWorkFolder({ root: scratch, planId: verifyId(plan), fresh: true });
  const headroomPercent = headroomPercentOf(plan);
  const need = await largestNeed(scratch, { chains, headroomPercent, freed });
  if (need === undefined) return undefined;
  const words = { headroomPercent, alternatives: [] };
  const note = noteOf(need, words);
  if (note !== undefined) progress.report(note);
  const problem = spaceProblem(need, words);
  if (problem !== undefined) throwProblems([problem], plan);
  return need;
}

async function largestNeed(
  scratch: string,
  options: { readonly chains: readonly CheckedChain[]; readonly headroomPercent: number; readonly freed: number },
): Promise<SpaceNeed | undefined> {
  const { chains, headroomPercent, freed } = options;
  const layers = chains.flatMap(({ disk, layers }) => layers.map(({ info }) => ({ pvc: disk.name, size: info.size })));
  const largest = layers.toSorted((a, b) => b.size - a.size)[0];
  if (largest === undefined) return undefined;
  const { pvc, size } = largest;
  const { pool, bytes, files, compresses } = await freeSpaceAt(scratch);
  return {
    pvc,
    where: 'scratch',
    path: scratch,
    file: undefined,
    pool,
    certain: compresses ? 0 : size,
    wanted: scratchNeed({ strategy: 'staged', layerSizes: [size], virtualSize: 0, headroomPercent }),
    available: bytes === undefined ? undefined : bytes + freed,
    missingFiles: files === undefined || freed > 0 ? 0 : Math.max(0, NEW_FILES - files),
  };
}

/** The work directory, its lock and its journal, the PVC's directory and one layer. */
const NEW_FILES = 5;
