// Which contenders run on which data, one case after another.

import { DEFAULT_CONCURRENCY } from '../../../src/staged/download.ts';
import { GiB, MiB } from '../../../src/units.ts';
import type { Call, CaseName } from './arguments.ts';
import { type Bench, type CaseResult, compareContenders } from './compare.ts';
import { COMPARING, CONTENDERS, type Contender, REFERENCE } from './contenders.ts';
import { dataSet, denseShape, hiddenShape, mainShape, smallShape } from './data.ts';
import { type GrowthResult, measureGrowth } from './growth.ts';
import { type ListResult, measureList } from './list.ts';
import { canThrottle, withScratch, withSlowScratch } from './places.ts';
import type { Report } from './render.ts';
import type { PortName } from './server.ts';

export async function runCases(bench: Bench, call: Call): Promise<Omit<Report, 'version' | 'machine' | 'rounds'>> {
  const cases: CaseResult[] = [];
  const growth: GrowthResult[] = [];
  const skipped: string[] = [];
  let list: ListResult | undefined;
  for (const name of call.cases) {
    bench.signal.throwIfAborted();
    if (name === 'layers' || name === 'sizes' || name === 'pvcs') {
      growth.push(await measureGrowth(bench, name, { small: call.small, contenders: chosen(call, GROWTH) }));
    } else if (name === 'list') {
      list = await measureList(bench, { counts: call.small ? [2, 4] : [10, 100, 1000] });
    } else {
      const result = await runCase(bench, call, name);
      if (typeof result === 'string') skipped.push(result);
      else cases.push(result);
    }
  }
  return { cases, growth, list, skipped };
}

const GROWTH = [REFERENCE, 'staged', 'stream'];
const SLOW_SCRATCH = 100_000_000;

type TimedCase = Exclude<CaseName, 'layers' | 'sizes' | 'pvcs' | 'list'>;

/** The result, or why there is none. */
async function runCase(bench: Bench, call: Call, name: TimedCase): Promise<CaseResult | string> {
  const { signal } = bench;
  const everyone = CONTENDERS.map((one) => one.name).filter((one) => !COMPARING.includes(one));
  if (name === 'hidden') {
    const set = await dataSet(bench.data, `hidden-${call.size}`, hiddenShape(call.size / 4), signal);
    const title = 'Half of the full hidden by newer layers, as fast as loopback';
    const contenders = chosen(call, GROWTH);
    return await withScratch(bench.work, (scratch) =>
      compareContenders(bench, { name, title, set, port: 'fast', contenders, scratch }),
    );
  }
  if (name === 'dense' || name === 'small') {
    const set =
      name === 'dense'
        ? await dataSet(bench.data, `dense-${call.size}`, denseShape(call.size), signal)
        : await dataSet(bench.data, 'small', smallShape(), signal);
    const title =
      name === 'dense' ? 'A dense full of which a fifth is data, as KubeVirt makes it' : '64 MiB in 4 layers';
    const options = { name, title, set, port: 'fast', contenders: chosen(call, GROWTH) } as const;
    return await withScratch(bench.work, (scratch) =>
      compareContenders(bench, { ...options, scratch, connections: DEFAULT_CONCURRENCY }),
    );
  }
  const set = await dataSet(bench.data, `main-${call.size}`, mainShape(call.size), signal);
  if (name === 'scratch') {
    if (!(await canThrottle())) return 'scratch at 100 MB/s: no blkio throttle (cgroup v1) on this machine';
    const title = 'Scratch on a volume of 100 MB/s';
    const contenders = chosen(call, ['staged', 'stream', REFERENCE]);
    const volume = { size: Math.ceil((set.size * 1.25) / MiB) * MiB + GiB / 4, rate: SLOW_SCRATCH };
    return await withSlowScratch(bench.work, volume, (scratch) =>
      compareContenders(bench, { name, title, set, port: 'fast', contenders, scratch }),
    );
  }
  const { port, title } = PORTS[name];
  if (bench.server.endpoints[port] === undefined) return `${title}: nginx has no echo module`;
  const contenders = chosen(call, CHOICES[name] ?? everyone);
  return await withScratch(bench.work, (scratch) =>
    compareContenders(bench, { name, title, set, port, contenders, scratch, connections: DEFAULT_CONCURRENCY }),
  );
}

const CHOICES: Readonly<Partial<Record<TimedCase, readonly string[]>>> = {
  latency: [REFERENCE, 'staged', 'stream', 'nbdkit'],
  compare: [...GROWTH, ...COMPARING],
};

type PortCase = 'slow' | 'fast' | 'tls' | 'latency' | 'compare';

const PORTS: Readonly<Record<PortCase, { readonly port: PortName; readonly title: string }>> = {
  slow: { port: 'slow', title: 'Source at 60 MB/s per connection' },
  fast: { port: 'fast', title: 'Source as fast as loopback' },
  tls: { port: 'tls', title: 'Source as fast as loopback, over https (TLS 1.3)' },
  compare: { port: 'fast', title: 'With a comparison of the target, as fast as loopback' },
  latency: { port: 'latency', title: 'Source that waits 20 ms before each answer' },
};

function chosen({ contenders }: Call, names: readonly string[]): Contender[] {
  const wanted = names.filter((name) => contenders === undefined || name === REFERENCE || contenders.includes(name));
  return CONTENDERS.filter(({ name }) => wanted.includes(name));
}
