// `--metrics-port N`: what the engine tells, as Prometheus text.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { Counter, Gauge, Registry } from 'prom-client';
import { DatamoverError, messageOf, systemCode } from '../../errors.ts';
import type { Progress, ProgressEvent } from '../../progress.ts';
import { isPhaseEvent, type PhaseEvent } from './view.ts';

/** Serves metrics on `port` of all interfaces while `work` runs. LISTEN_FAILED when the port cannot be had. */
export async function withMetrics<T>(port: number, work: (progress: Progress) => Promise<T>): Promise<T> {
  const { registry, progress } = createMetrics();
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end('metrics are at /metrics\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500).end(`${messageOf(error)}\n`),
    );
  });
  await listenForMetrics(server, port);
  try {
    return await work(progress);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

async function listenForMetrics(server: Server, port: number): Promise<void> {
  try {
    server.listen({ port, host: '::', ipv6Only: false });
    await once(server, 'listening');
  } catch (error) {
    if (systemCode(error) === 'EAFNOSUPPORT') {
      // A machine without IPv6.
      server.listen({ port, host: '0.0.0.0' });
      await once(server, 'listening').catch((inner: unknown) => refusePort(port, inner));
      return;
    }
    refusePort(port, error);
  }
}

function refusePort(port: number, cause: unknown): never {
  const why = systemCode(cause) === 'EADDRINUSE' ? 'another process listens there' : messageOf(cause);
  throw new DatamoverError('LISTEN_FAILED', `metrics cannot be served on port ${port}: ${why}`, {
    cause,
    hint: 'choose another port with --metrics-port',
  });
}

/** The metrics, and the progress that feeds them. */
function createMetrics(): { readonly registry: Registry; readonly progress: Progress } {
  const registry = new Registry();
  const gauge = (name: string, help: string): Gauge<'pvc' | 'phase'> =>
    new Gauge({ name: `${PREFIX}${name}`, help, labelNames: ['pvc', 'phase'], registers: [registry] });
  const counter = (name: string, help: string, label: 'pvc' | 'state'): Counter<'pvc' | 'state'> =>
    new Counter({ name: `${PREFIX}${name}`, help, labelNames: [label], registers: [registry] });
  const metrics: Metrics = {
    running: gauge('phase_running', '1 while this phase of the PVC runs, 0 after it'),
    done: gauge('phase_bytes', 'Bytes that this phase of the PVC has done'),
    expected: gauge('phase_expected_bytes', 'Bytes that this phase of the PVC has to do'),
    fetched: counter('fetched_bytes_total', 'Bytes of the layers that this run has fetched', 'pvc'),
    written: new Flow(counter('written_bytes_total', 'Bytes of the disk that are on the target', 'pvc')),
    retries: counter('retries_total', 'Requests to the source that were repeated', 'pvc'),
    pvcs: counter('pvcs_total', 'PVCs finished, by state', 'state'),
  };
  let pvc = '';
  const report = (event: ProgressEvent): void => {
    if (event.type === 'pvc-started') pvc = event.pvc;
    else if (event.type === 'pvc-finished') metrics.pvcs.inc({ state: event.state });
    else if (event.type === 'retry') metrics.retries.inc({ pvc });
    else if (event.type === 'fetched') metrics.fetched.inc({ pvc: event.pvc }, event.count);
    else if (isPhaseEvent(event)) recordPhase(metrics, event);
  };
  return { registry, progress: { report } };
}

const PREFIX = 'kubevirt_datamover_';

interface Metrics {
  readonly running: Gauge<'pvc' | 'phase'>;
  readonly done: Gauge<'pvc' | 'phase'>;
  readonly expected: Gauge<'pvc' | 'phase'>;
  readonly fetched: Counter<'pvc' | 'state'>;
  readonly written: Flow;
  readonly retries: Counter<'pvc' | 'state'>;
  readonly pvcs: Counter<'pvc' | 'state'>;
}

function recordPhase({ running, done, expected, written }: Metrics, event: PhaseEvent): void {
  const { pvc = '', phase } = event;
  const labels = { pvc, phase };
  if (event.type !== 'bytes') {
    running.set(labels, event.type === 'phase-started' ? 1 : 0);
    if (event.type === 'phase-started' && event.total !== undefined) expected.set(labels, event.total);
    return;
  }
  done.set(labels, event.done);
  expected.set(labels, event.total);
  if (phase === 'convert' || phase === 'copy') written.reach(pvc, event.done);
}

/** A counter fed with totals: events tell how far a phase is, a Prometheus counter only takes steps. */
class Flow {
  readonly #counter: Counter<'pvc' | 'state'>;
  readonly #reached = new Map<string, number>();

  constructor(counter: Counter<'pvc' | 'state'>) {
    this.#counter = counter;
  }

  reach(pvc: string, total: number): void {
    const before = this.#reached.get(pvc) ?? 0;
    if (total <= before) return;
    this.#counter.inc({ pvc }, total - before);
    this.#reached.set(pvc, total);
  }
}
