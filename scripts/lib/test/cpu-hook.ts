// Loaded into each test file's process (`--import`): prints the CPU time that it and its children took, as a comment of TAP.
import { readFileSync, writeSync } from 'node:fs';

process.on('exit', () => {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  // utime, stime, cutime and cstime of proc(5), counted from the state, in ticks of 10 ms.
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  writeSync(1, `# cpu=${ticks * 10}ms\n`);
});
