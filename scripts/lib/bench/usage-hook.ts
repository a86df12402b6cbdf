// Loaded into the measured program (`--import`): writes what it alone took, not its children, when it ends.
import { writeFileSync } from 'node:fs';

const file = process.env.KDM_BENCH_USAGE;
if (file !== undefined) {
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
    writeFileSync(file, JSON.stringify({ cpu: (userCPUTime + systemCPUTime) / 1e6, rss: maxRSS * 1024 }));
  });
}
