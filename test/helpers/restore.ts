// Runs the real program on a real backup and lets independent tools judge what it made.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { z } from 'zod';
import { alignUp } from '../../src/units.ts';
import { type BackupForTest, difference, type PlanForOptions, planFor, truthOf } from './backup.ts';
import { bytesAt, isFilled } from './filled.ts';
import { type LoopDevice, loopDevice } from './loop-device.ts';
import { type ResidentCli, sharedCli } from './resident-cli.ts';

const problemSchema = z.object({ pvc: z.string().optional(), code: z.string(), message: z.string(), hint: z.string() });

const resultSchema = z.object({
  version: z.literal(1),
  result: z.enum(['ok', 'failed', 'cancelled']),
  pvcs: z.array(
    z.object({
      name: z.string(),
      target: z.string(),
      state: z.enum(['restored', 'kept', 'failed', 'pending', 'planned']),
      strategy: z.string(),
      layers: z.array(z.object({ checkpoint: z.string(), checked: z.array(z.string()) }).loose()),
      virtualSize: z.number().nullable(),
      via: z.literal('qemu').optional(),
      bytesFetched: z.number(),
      scratchPeakBytes: z.number(),
      verified: z.boolean(),
      verifiedBy: z.enum(['compare', 'read-back']).optional(),
      targetInfo: z.looseObject({ kind: z.enum(['block', 'file']), realPath: z.string() }).optional(),
      hash: z
        .strictObject({
          algorithm: z.literal('sha256'),
          hex: z.string(),
          of: z.enum(['disk', 'file']),
          bytes: z.number(),
        })
        .optional(),
      keptFrom: z.strictObject({ runId: z.string(), finishedAt: z.string() }).optional(),
      seconds: z.record(z.string(), z.number()),
      warnings: z.array(z.string()).optional(),
    }),
  ),
  seconds: z.number(),
  tools: z.record(z.string(), z.string()).optional(),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string() }).optional(),
  problems: z.array(problemSchema).optional(),
});

export type RestoreDocument = z.infer<typeof resultSchema>;

export interface RestoreRun {
  readonly exitCode: number | null;
  readonly document: RestoreDocument;
  readonly stderr: string;
}

/** `restore PLAN --output json` with `args` added; by `runCli` in a process of its own, by default in the resident one. */
export async function runRestore(
  plan: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
  cli: ResidentCli = sharedCli,
): Promise<RestoreRun> {
  const { exitCode, stdout, stderr } = await cli(['restore', plan, '--output', 'json', ...args], { env });
  return { exitCode, document: parseDocument(stdout), stderr };
}

export function parseDocument(stdout: string): RestoreDocument {
  return resultSchema.parse(JSON.parse(stdout));
}

export interface VerifiedOptions extends PlanForOptions {
  readonly backup: string;
  /** Bytes of each loop device beyond the disk's last sector; undefined restores onto raw files instead. */
  readonly device?: { readonly extra: number; readonly fill: number; readonly sectorSize?: number };
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Restores every disk of a backup and asserts that each target is identical to the true disk, and scratch empty. */
export async function restoreAndVerify(
  t: Test,
  made: BackupForTest,
  { backup, device, args = [], env = {}, ...options }: VerifiedOptions,
): Promise<RestoreRun> {
  const disks = made.checkpoints.find((one) => one.backup === backup)?.layers ?? [];
  const targets = new Map<string, { readonly path: string; readonly content: string }>();
  for (const { disk, virtualSize } of disks) {
    const file = join(made.folder, `${disk}-${crypto.randomUUID().slice(0, 8)}.raw`);
    const loop =
      device && loopDevice(t, { ...device, size: alignUp(virtualSize, device.sectorSize ?? 512) + device.extra });
    targets.set(disk, loop === undefined ? { path: file, content: file } : { path: loop.path, content: loop.file });
  }
  const paths = Object.fromEntries([...targets].map(([disk, { path }]) => [disk, path]));
  const plan = await planFor(made, backup, paths, options);
  const force = device !== undefined && device.fill !== 0 ? ['--force'] : [];
  const run = await runRestore(plan, [...force, ...args], env);
  t.equal(run.exitCode, 0, `exit status (${run.document.error?.message ?? 'no error'})`);
  for (const { disk } of disks) {
    const { path, content } = targets.get(disk) ?? { path: '', content: '' };
    const truth = truthOf(made, backup, disk);
    if (device !== undefined) await holdsDisk(t, { path, file: content }, { disk, truth });
    else t.equal(await difference(content, truth), undefined, `${disk} is identical to the true disk`);
  }
  t.strictSame(scratchOf(made), [], 'nothing is left in scratch');
  return run;
}

/** Asserts that a device holds the true disk, and zeros beyond it. */
export async function holdsDisk(
  t: Test,
  { path, file }: LoopDevice,
  { disk, truth }: { readonly disk: string; readonly truth: string },
): Promise<void> {
  execFileSync('blockdev', ['--flushbufs', path]);
  t.equal(await difference(file, truth), undefined, `${disk} is identical to the true disk`);
  const { size } = statSync(truth);
  const beyond = bytesAt(file, size, statSync(file).size - size);
  t.ok(isFilled(beyond), `${disk}: the device beyond the disk is zeros`);
}

/** What lies in the scratch folder that `planFor` names by default. */
export function scratchOf(made: BackupForTest): string[] {
  const folder = join(made.folder, 'scratch');
  return existsSync(folder) ? readdirSync(folder) : [];
}
