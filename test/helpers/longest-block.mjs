// Loaded before the program (`--import`): how long its main thread was blocked after it had started, the loading of modules apart, which
// some commands do late. Written at exit to the file that this module's own URL names; a process that is killed writes none. Plain
// JavaScript: to strip the types of a TypeScript file takes as long as the start of the program.
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 5;
/** Modules are loaded, then linked and run. */
const AFTER_LOAD_MS = 500;

const file = new URL(import.meta.url).searchParams.get('file');
const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const longest = { delayMs: 0, cpuMs: 0 };
let loadedAt = performance.now();
let cpu = cpuMs();

registerHooks({
  load: (url, context, next) => {
    if (!isLoading()) keep();
    loadedAt = performance.now();
    delays.reset();
    return next(url, context);
  },
});
delays.enable();
const timer = setInterval(() => {
  const used = cpuMs();
  if (isLoading()) delays.reset();
  else longest.cpuMs = Math.max(longest.cpuMs, Math.round(used - cpu));
  cpu = used;
}, RESOLUTION_MS).unref();

function isLoading() {
  return performance.now() < loadedAt + AFTER_LOAD_MS;
}

function keep() {
  if (delays.count > 0) longest.delayMs = Math.max(longest.delayMs, Math.round(delays.max / 1e6) - RESOLUTION_MS);
}

/** Processor time of this thread. */
function cpuMs() {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

process.on('exit', () => {
  clearInterval(timer);
  keep();
  if (file !== null) writeFileSync(file, JSON.stringify(longest));
});
