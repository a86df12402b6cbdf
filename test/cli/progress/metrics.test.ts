// `--metrics-port`: what Prometheus would scrape while a restore runs.
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Test, test } from 'tap';
import { withMetrics } from '../../../src/cli/progress/metrics.ts';
import type { ProgressEvent } from '../../../src/progress.ts';
import { runCli } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

function portOf(server: ReturnType<typeof createServer>): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('not listening on a port');
  return address.port;
}

async function takenPort(t: Test): Promise<number> {
  const server = createServer().listen(0, '::');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return portOf(server);
}

const EVENTS: readonly ProgressEvent[] = [
  { type: 'phase-started', phase: 'preflight' },
  { type: 'phase-finished', phase: 'preflight', seconds: 1 },
  { type: 'pvc-started', pvc: 'a', index: 1, count: 2, target: '/dev/x', layers: 1, virtualSize: 4096 },
  { type: 'phase-started', pvc: 'a', phase: 'download', total: 1000 },
  { type: 'bytes', pvc: 'a', phase: 'download', done: 400, total: 1000 },
  { type: 'fetched', pvc: 'a', count: 700 },
  { type: 'retry', key: 'k', offset: 0, attempt: 1, waitMs: 1, reason: 'reset' },
  { type: 'bytes', pvc: 'a', phase: 'download', done: 1000, total: 1000 },
  { type: 'fetched', pvc: 'a', count: 300 },
  { type: 'phase-finished', pvc: 'a', phase: 'download', seconds: 1 },
  { type: 'phase-started', pvc: 'a', phase: 'convert' },
  { type: 'bytes', pvc: 'a', phase: 'convert', done: 2048, total: 4096 },
];

test('bytes, totals, retries and the running phase of each PVC', async (t) => {
  const port = await freePort();
  await withMetrics(port, async (progress) => {
    for (const event of EVENTS) progress.report(event);
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    const lines = (await response.text()).split('\n');
    t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    for (const line of [
      'kubevirt_datamover_fetched_bytes_total{pvc="a"} 1000',
      'kubevirt_datamover_written_bytes_total{pvc="a"} 2048',
      'kubevirt_datamover_phase_expected_bytes{pvc="a",phase="convert"} 4096',
      'kubevirt_datamover_phase_bytes{pvc="a",phase="convert"} 2048',
      'kubevirt_datamover_phase_running{pvc="a",phase="download"} 0',
      'kubevirt_datamover_phase_running{pvc="a",phase="convert"} 1',
      'kubevirt_datamover_retries_total{pvc="a"} 1',
    ]) {
      t.ok(lines.includes(line), line);
    }
    const end = { type: 'pvc-finished', index: 1, count: 2, seconds: 1 } as const;
    progress.report({ ...end, pvc: 'a', state: 'restored', verified: true });
    progress.report({ ...end, pvc: 'b', state: 'kept', verified: false });
    const after = await (await fetch(`http://[::1]:${port}/metrics`)).text();
    t.match(after, /kubevirt_datamover_pvcs_total\{state="restored"\} 1/);
    t.match(after, /kubevirt_datamover_pvcs_total\{state="kept"\} 1/);
    t.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 404);
  });
  await t.rejects(fetch(`http://127.0.0.1:${port}/metrics`), 'it ends with the run');
});

test('the port is given back when the work fails', async (t) => {
  const port = await freePort();
  await t.rejects(
    withMetrics(port, async () => {
      throw new Error('of the work');
    }),
    { message: 'of the work' },
  );
  const again = createServer().listen(port, '::');
  await once(again, 'listening');
  again.close();
});

test('a port that is taken: LISTEN_FAILED, exit 2, before anything begins', async (t) => {
  const port = await takenPort(t);
  const plan = `version: 1\nsource: { directory: /nowhere }\npvcs: [{ name: a, target: /tmp/a.raw, chain: [{ checkpoint: c, type: full, object: o }] }]\n`;
  const args = ['restore', '-', '--metrics-port', String(port), '--scratch', tempFolder(t), '--output', 'json'];
  const { exitCode, stdout } = await runCli(args, { stdin: plan });
  t.equal(exitCode, 2);
  t.match(JSON.parse(stdout), {
    error: { code: 'LISTEN_FAILED', message: new RegExp(String(port)), hint: /--metrics-port/ },
  });
});
