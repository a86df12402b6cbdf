// A process for tests to stop (SIGSTOP) in the middle of a wait. Its first argument names the wait, its second is that wait's JSON.
// It prints a line when the wait starts, and one when it is over.
import { AwakeTimer, asleepMs, awakeNow } from '../../src/awake.ts';
import { nbdNode, toFilename } from '../../src/qemu/graph.ts';
import { runTool } from '../../src/qemu/run.ts';
import { openS3Store } from '../../src/store/s3/s3.ts';
import { QUICK } from './s3-peer.ts';

const [mode = '', json = '{}'] = process.argv.slice(2);
const options = JSON.parse(json);
const { signal } = new AbortController();

function print(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const began = performance.now();
const awakeBegan = awakeNow();
const MODES: Readonly<Record<string, () => Promise<unknown>>> = {
  timer: () => new Promise<void>((resolve) => new AwakeTimer(options.ms, resolve)),
  tool: () => runTool('qemu-img', ['info', toFilename(nbdNode(options.socket, ''))], { signal, timeoutMs: options.ms }),
  read: async () => {
    const { bucket, endpoint, policy, head } = options;
    const tried: string[] = [];
    const store = await openS3Store(
      { bucket, endpoint },
      {
        concurrency: 1,
        env: process.env,
        policy: { ...QUICK, ...policy },
        onRetry: ({ reason }) => tried.push(reason),
      },
    );
    if (head) await store.head('object', { signal });
    const bytes = await store.get('object', { maxBytes: 1000, signal });
    await store.close();
    return { tried, bytes: Buffer.from(bytes).toString('latin1') };
  },
};
print('started');
const outcome = await MODES[mode]?.().then(
  (value) => ({ value }),
  (error: Error) => ({ error: error.message }),
);
print({
  ...outcome,
  realMs: performance.now() - began,
  awakeMs: awakeNow() - awakeBegan,
  asleepMs: asleepMs(),
});
