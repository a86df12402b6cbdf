// Runs contenders in turn, round by round, on one data set, and compares every result with the true disk.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contender, Job } from './contenders.ts';
import type { DataSet } from './data.ts';
import { type Limit, measureLimit } from './limit.ts';
import { measure, median, type Sample } from './measure.ts';
import { flushDevice, makeBlank, targetFile, withDevices } from './places.ts';
import type { PortName, Server } from './server.ts';

export interface Row {
  readonly contender: string;
  readonly samples: readonly Sample[];
  /** The medians of each figure by itself. */
  readonly median: Sample;
  /** Whether every run's target held the true disks. */
  readonly identical: boolean;
}

export interface CaseResult {
  readonly name: string;
  readonly title: string;
  /** Bytes of the objects, and of the data that the restored disks show. */
  readonly size: number;
  readonly visible: number;
  readonly virtualSize: number;
  readonly layers: number;
  readonly rows: readonly Row[];
  /** Seconds; absent where it says nothing. */
  readonly limit?: Limit | undefined;
}

export interface Bench {
  readonly data: string;
  readonly work: string;
  readonly server: Server;
  readonly program: string;
  readonly rounds: number;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface CompareOptions {
  readonly name: string;
  readonly title: string;
  readonly set: DataSet;
  readonly port: PortName;
  readonly contenders: readonly Contender[];
  /** An empty folder on a file system of its own. */
  readonly scratch: string;
  /** Measure the limit over so many connections. */
  readonly connections?: number;
  readonly rounds?: number;
}

export async function compareContenders(bench: Bench, options: CompareOptions): Promise<CaseResult> {
  const { name, title, set, port, contenders, connections, rounds = bench.rounds } = options;
  const endpoint = bench.server.endpoints[port];
  if (endpoint === undefined) throw new Error(`no ${port} port`);
  const sizes = set.disks.map(({ virtualSize }) => virtualSize);
  return await withDevices(bench.work, sizes, async (targets) => {
    const { work: folder, program, server } = bench;
    const job: Job = { set, endpoint, caFile: server.caFile, scratch: options.scratch, targets, folder, program };
    const samples = new Map<Contender, Sample[]>();
    const wrong = new Set<Contender>();
    const limits: Limit[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      if (connections !== undefined) {
        limits.push(await measureLimit({ ...job, ...bench, target: targets[0] ?? '', connections }));
        for (const target of targets) await makeBlank(target);
      }
      for (const contender of contenders) {
        const sample = await runOnce(bench, job, contender);
        bench.say(`${name} ${round}/${rounds} ${contender.name}: ${sample.seconds.toFixed(2)} s`);
        samples.set(contender, [...(samples.get(contender) ?? []), sample]);
        if (!(await isIdentical(bench, job))) wrong.add(contender);
        for (const target of targets) await makeBlank(target);
      }
    }
    const rows = contenders.map((contender) =>
      rowOf(contender.name, samples.get(contender) ?? [], !wrong.has(contender)),
    );
    return {
      name,
      title,
      size: set.size,
      visible: set.visible,
      virtualSize: sizes.reduce((sum, size) => sum + size, 0),
      layers: set.disks[0]?.layers.length ?? 0,
      rows,
      limit:
        limits.length === 0
          ? undefined
          : { read: median(limits.map(({ read }) => read)), write: median(limits.map(({ write }) => write)) },
    };
  });
}

async function runOnce(bench: Bench, job: Job, contender: Contender): Promise<Sample> {
  const { script, env } = await contender.prepare(job);
  const sample = await measure({
    script,
    ...(env === undefined ? {} : { env }),
    folder: bench.work,
    scratch: job.scratch,
    server: bench.server,
    signal: bench.signal,
  });
  for (const name of await readdir(job.scratch)) await rm(join(job.scratch, name), { recursive: true, force: true });
  return sample;
}

/**
 * The target's backing file against the true disk, both with their holes, which qemu-img skips: a TiB of zeros takes no
 * time. The device's own cache must be in its file first.
 */
async function isIdentical(bench: Bench, { set, targets }: Job): Promise<boolean> {
  for (const [index, disk] of set.disks.entries()) {
    await flushDevice(targets[index] ?? '');
    const target = join(bench.work, targetFile(index));
    const args = ['compare', '-f', 'raw', '-F', 'raw', disk.truth, target];
    const child = spawn('qemu-img', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const [status] = await once(child, 'close');
    if (status !== 0) return false;
  }
  return true;
}

export function rowOf(contender: string, samples: readonly Sample[], identical: boolean): Row {
  const middle = (value: (sample: Sample) => number): number => median(samples.map(value));
  const own = samples.flatMap((sample) => (sample.own === undefined ? [] : [sample.own]));
  return {
    contender,
    samples,
    identical,
    median: {
      seconds: middle(({ seconds }) => seconds),
      cpu: middle(({ cpu }) => cpu),
      rss: middle(({ rss }) => rss),
      fetched: middle(({ fetched }) => fetched),
      scratch: middle(({ scratch }) => scratch),
      own:
        own.length === 0
          ? undefined
          : { cpu: median(own.map(({ cpu }) => cpu)), rss: median(own.map(({ rss }) => rss)) },
    },
  };
}
