// Loaded into the measured program (`--require`): writes what it alone took, not its children, when it ends. Plain CommonJS: to strip the
// types of a TypeScript file takes longer than the start that is measured.
'use strict';
const { writeFileSync } = require('node:fs');

const file = process.env.KDM_BENCH_USAGE;
if (file !== undefined) {
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    writeFileSync(file, JSON.stringify({ cpu: (userCPUTime + systemCPUTime) / 1e6, rss: maxRSS * 1024 }));
  });
}
