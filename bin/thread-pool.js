// Writes of a disk occupy threads of libuv's pool. libuv reads their number once, before the program's own code runs. A
// container that allows few threads keeps the default of 4: libuv aborts when it cannot start one.
'use strict';
const pids = ['/sys/fs/cgroup/pids.max', '/sys/fs/cgroup/pids/pids.max'].map((path) => {
  try {
    return Number(require('node:fs').readFileSync(path, 'utf8'));
  } catch (_) {
    return NaN;
  }
});
const isTight = pids.some((max) => max < 100);
if (!process.env.UV_THREADPOOL_SIZE && !isTight) process.env.UV_THREADPOOL_SIZE = '12';
