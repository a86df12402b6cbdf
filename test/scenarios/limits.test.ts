// A restore under limits of open files, processes and file sizes: done with less at a time, or refused before anything is written.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { KiB } from '../../src/units.ts';
import { makeChain, writeChainPlan } from '../helpers/chain.ts';
import { mustRun } from '../helpers/command.ts';
import { makePidsGroup, runLimited } from '../helpers/limited.ts';
import { requires } from '../helpers/requires.ts';
import { tempFolder } from '../helpers/tmp.ts';

const LAYERS = 50;

interface Setup {
  readonly plan: string;
  readonly target: string;
  readonly truth: string;
  readonly args: (strategy: string) => string[];
}

function longChain(t: Test, layers = LAYERS): Setup {
  const cells = Array.from({ length: layers }, (_, index) =>
    index === 0 ? 'A'.repeat(8) : `${'-'.repeat(index % 8)}B`,
  );
  const chain = makeChain(t, { unit: 4 * KiB, layers: cells, size: 64 * KiB });
  // Beside the source: nothing inside of it may be written.
  const folder = tempFolder(t);
  const target = join(folder, 'out.img');
  const plan = writeChainPlan(folder, chain, target);
  const args = (strategy: string): string[] => {
    const scratch = strategy === 'stream' ? [] : ['--scratch', join(folder, 'scratch')];
    return ['restore', plan, '--strategy', strategy, ...scratch, '--force', '--output', 'json', '--no-progress'];
  };
  return { plan, target, truth: chain.truth, args };
}

for (const strategy of ['staged', 'stream']) {
  test(`${strategy}: a long chain and few descriptors`, async (t) => {
    if (!requires(t, 'qemu-img', 'qemu-io')) return;
    const { args, target, truth } = longChain(t);
    const refused = await runLimited(args(strategy), { ulimit: ['-n 70'] });
    t.equal(refused.status, 7, refused.stderr);
    const { error } = JSON.parse(refused.stdout);
    const pattern =
      /^PVC disk: cannot open a chain of 50 layers: too many open files: the limit is 70, (\d+) are needed$/;
    const needed = Number(pattern.exec(error.message)?.[1]);
    t.match(error, { code: 'TOOL_FAILED', message: pattern, hint: /ulimit -n 1024/ });
    t.notOk(existsSync(target), 'nothing was written');
    // Exactly as many as were said to be needed, and a little for what differs between runs.
    const done = await runLimited(args(strategy), { ulimit: [`-n ${needed + 4}`] });
    t.equal(done.status, 0, done.stderr);
    t.same(JSON.parse(done.stdout).pvcs[0].warnings ?? [], []);
    await mustRun('cmp', [target, truth]);
  });
}

test('very few descriptors: never an internal error', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { args, target } = longChain(t, 4);
  for (const limit of [24, 26, 28, 30, 34, 40]) {
    for (const strategy of ['staged', 'stream']) {
      const { status, stdout, stderr } = await runLimited(args(strategy), { ulimit: [`-n ${limit}`] });
      t.equal(status, 7, stderr);
      if (stdout === '') t.match(stderr, /too many open files/, `${limit}`);
      else
        t.match(JSON.parse(stdout).error, {
          code: 'TOOL_FAILED',
          message: new RegExp(`the limit is ${limit}`),
          hint: /ulimit -n/,
        });
    }
  }
  t.notOk(existsSync(target));
});

test('a limit of processes of the container', async (t) => {
  if (!requires(t, 'root', 'qemu-img', 'qemu-io')) return;
  const { args, target, truth } = longChain(t, 4);
  const few = makePidsGroup(t, 22);
  const enough = makePidsGroup(t, 100);
  if (few === undefined || enough === undefined) {
    t.comment('no control group can be made here');
    return;
  }
  const refused = await runLimited(args('staged'), { group: few });
  t.equal(refused.status, 7, refused.stderr);
  t.match(JSON.parse(refused.stdout).error, {
    code: 'TOOL_FAILED',
    message: /more processes or threads may be started: .*the container's pids limit is 22/,
    hint: /pids limit of the container or pod/,
  });
  t.notOk(existsSync(target), 'nothing was written');
  const done = await runLimited(args('staged'), { group: enough });
  t.equal(done.status, 0, done.stderr);
  await mustRun('cmp', [target, truth]);
});

test('a limit of file sizes below the target’s, and below scratch’s', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { args } = longChain(t, 4);
  // In KiB: less than the disk, then less than a layer.
  for (const limit of [48, 8]) {
    for (const strategy of ['staged', 'stream']) {
      const { stdout, stderr } = await runLimited(args(strategy), { ulimit: [`-f ${limit}`] });
      const { error } = JSON.parse(stdout);
      t.match(error.message, /ulimit -f is/, `${strategy}, ${limit}: ${stderr}`);
      t.match(error.hint, /ulimit -f unlimited/);
      t.not(error.code, 'INTERNAL');
    }
  }
});

test('a limit of memory: refused with both numbers, or done, never aborted', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io')) return;
  const { args, target, truth } = longChain(t, 4);
  const outcomes = new Set<string>();
  // In KiB. With less Node itself does not start.
  for (const limit of [645_000, 660_000, 700_000, 740_000, 754_000, 770_000, 1_000_000]) {
    for (const strategy of ['staged', 'stream']) {
      const { status, stdout, stderr } = await runLimited(args(strategy), { ulimit: [`-d ${limit}`] });
      const about = `${strategy}, ${limit}: ${stderr}`;
      outcomes.add(`${strategy} ${status}`);
      if (status === 0) await mustRun('cmp', [target, truth]);
      else
        t.match(
          { status, ...JSON.parse(stdout).error },
          {
            status: 7,
            code: 'TOOL_FAILED',
            message: /ulimit -d is \d+ MiB, \d+ MiB are needed$/,
            hint: /^raise the limit \(`ulimit -d unlimited`\)/,
          },
          about,
        );
    }
  }
  t.strictSame([...outcomes].sort(), ['staged 0', 'staged 7', 'stream 0', 'stream 7'], 'both happen');
});
