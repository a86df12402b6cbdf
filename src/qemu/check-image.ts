// `qemu-img check`: are a layer's tables consistent? It is no integrity check: docs/format.md says what it misses.
import { z } from 'zod';
import { DatamoverError } from '../errors.ts';
import { parseJson } from '../parse-json.ts';
import { type BlockGraph, fileNode, loneLayer, toFilename } from './graph.ts';
import { runTool } from './run.ts';
import { isUnwritten, lastErrorLine } from './said.ts';

export interface CheckImageOptions {
  /** The layer: a path, or the node that its bytes come from. It is opened alone, whatever parent its header names. */
  readonly image: string | BlockGraph;
  /** Names the layer in messages; the path by default. */
  readonly where?: string;
  /** Writes the repairs that `check -r` makes: for a dirty layer, in a copy of ours. */
  readonly repair?: 'leaks' | 'all';
  /** 10 minutes by default: it reads all tables, 1/8192 of the data at 64 KiB clusters. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

export interface CheckImageResult {
  /** `leaks`: clusters that nothing uses; no harm to the data by itself (exit 3). */
  readonly outcome: 'clean' | 'leaks';
  /** Where the last used cluster ends; it may lie past the file's end within that cluster (see `checkImageEnd`). */
  readonly imageEndOffset: number;
  readonly leaks: number;
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
}

export const CHECK_TIMEOUT_MS = 10 * 60_000;

const count = z.number().int().nonnegative();
const checkSchema = z.object({
  'image-end-offset': count,
  leaks: count.default(0),
  'allocated-clusters': count.default(0),
  'compressed-clusters': count.default(0),
});
/** What exit statuses 0 and 3 stand for. */
const soundSchema = checkSchema.extend({
  filename: z.string(),
  'check-errors': z.literal(0),
  corruptions: z.literal(0).optional(),
});

/**
 * Checks a layer's tables.
 * @throws DatamoverError IMAGE_CORRUPT for exit 1 (cannot be opened or checked) and 2 (corrupt), TOOL_FAILED for
 * others, a kill, or too much time.
 */
export async function checkImage(options: CheckImageOptions): Promise<CheckImageResult> {
  const { image, repair, timeoutMs = CHECK_TIMEOUT_MS, signal } = options;
  const where = options.where ?? (typeof image === 'string' ? image : 'a layer');
  const args = [...CHECK, ...(repair === undefined ? [] : ['-r', repair]), checkedFile(image)];
  const { exitCode, stdout, stderr } = await runTool('qemu-img', args, { signal, timeoutMs });
  if (exitCode === 1 || exitCode === 2) {
    const found = exitCode === 2 ? 'its tables contradict each other' : 'it cannot be opened or checked';
    throw new DatamoverError('IMAGE_CORRUPT', `${where}: invalid qcow2 image: ${found}${lastErrorLine(stderr)}`, {
      hint: 'the layer is damaged: get another copy of it, or restore an earlier checkpoint',
    });
  }
  const isDone = (exitCode === 0 || exitCode === 3) && !isUnwritten(stderr);
  const report = isDone ? checkSchema.safeParse(parseJson(stdout)) : undefined;
  if (report?.success !== true) {
    throw new DatamoverError(
      'TOOL_FAILED',
      `qemu-img check of ${where} failed with status ${exitCode}${lastErrorLine(stderr)}`,
      {
        hint: 'run `qemu-img check` on it manually',
      },
    );
  }
  return toResult(report.data, exitCode === 0 ? 'clean' : 'leaks');
}

/** Arguments before a file's name. */
export const CHECK = ['check', '--output=json', '-f', 'qcow2'] as const;

/** The image's name on a command line, and in what is printed of it. */
export function checkedFile(image: string | BlockGraph): string {
  return toFilename(loneLayer(typeof image === 'string' ? fileNode(image) : image));
}

/** Of an image that this document, printed by `qemu-img check`, finds sound; undefined for any other. */
export function parseSound(
  document: unknown,
): { readonly file: string; readonly result: CheckImageResult } | undefined {
  const { data } = soundSchema.safeParse(document);
  return data && { file: data.filename, result: toResult(data, data.leaks === 0 ? 'clean' : 'leaks') };
}

function toResult(report: z.infer<typeof checkSchema>, outcome: CheckImageResult['outcome']): CheckImageResult {
  return {
    outcome,
    imageEndOffset: report['image-end-offset'],
    leaks: report.leaks,
    allocatedClusters: report['allocated-clusters'],
    compressedClusters: report['compressed-clusters'],
  };
}
