// Runs test files in the order in which they are named, several at a time, and prints TAP. tap's own runner orders them by name.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { t } from 'tap';

const TIMEOUT_S = 1_800;
const PRELOADED = ['./inert-hooks.ts', './cpu-hook.ts'].flatMap((path) => [
  '--import',
  fileURLToPath(new URL(path, import.meta.url)),
]);

// Many tests wait for a limit or a back-off to pass: two files more than there are cores keep these busy.
t.setTimeout(0);
t.jobs = availableParallelism() + 2;
const env = { ...process.env, TAP_TIMEOUT: String(TIMEOUT_S) };
for (const file of process.argv.slice(2)) {
  // Without env(1) each process would start with a loader of tap's that writes reports of coverage.
  t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...PRELOADED, file], {
    name: file,
    buffered: true,
    timeout: TIMEOUT_S * 1_000,
    externalID: file,
    env,
  });
}
