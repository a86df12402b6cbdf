// Loaded before the program (`--import`): how long its main thread was blocked, after it had started. Written at exit to the file that the
// module's own URL names; a process that is killed writes none.
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;

const file = new URL(import.meta.url).searchParams.get('file');
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
let [cpu, longestCpu] = [0, 0];

const timer = setInterval(() => {
  // The program handles signals as soon as all of it is loaded.
  if (cpu === 0 && process.listenerCount('SIGTERM') === 0) return;
  if (cpu === 0) delays.enable();
  const { user, system } = process.threadCpuUsage();
  if (cpu > 0) longestCpu = Math.max(longestCpu, user + system - cpu);
  cpu = user + system;
}, RESOLUTION_MS).unref();

process.on('exit', () => {
  clearInterval(timer);
  delays.disable();
  if (file === null || delays.count === 0) return;
  const delayMs = Math.max(0, delays.max / 1e6 - RESOLUTION_MS);
  writeFileSync(file, JSON.stringify({ delayMs: Math.round(delayMs), cpuMs: Math.round(longestCpu / 1000) }));
});
