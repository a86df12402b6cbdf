// An error that no test awaits fails its file in scripts/test, although tap's hooks are inert there (scripts/lib/test/inert-hooks.ts).
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { tempFolder } from '../helpers/tmp.ts';

/** What happens within a test that passes, each in a file of its own. */
const STRAY: Readonly<Record<string, string>> = {
  'an exception in a timer': `setTimeout(() => { throw new Error('stray'); }, 5); await t.test('waits', () => later(50));`,
  'a rejection that no test awaits': `void later(5).then(() => Promise.reject(new Error('stray'))); await later(50);`,
  'a rejection in a subtest': `await t.test('inner', async () => { void Promise.reject(new Error('stray')); await later(50); });`,
  'an exception in a listener': `process.once('SIGWINCH', () => { throw new Error('stray'); }); process.kill(process.pid, 'SIGWINCH'); await later(50);`,
  'a rejection after the last test': `t.ok(1); setTimeout(() => void Promise.reject(new Error('stray')), 50);`,
  'an error event without a listener': `process.nextTick(() => new EventEmitter().emit('error', new Error('stray'))); await later(50);`,
};

function source(body: string): string {
  return `import { EventEmitter } from 'node:events';
import { setTimeout as later } from 'node:timers/promises';
import { test } from ${JSON.stringify(import.meta.resolve('tap'))};
test('passes', async (t) => {
  ${body}
});
test('passes too', async (t) => void t.ok(EventEmitter));
`;
}

test('an error that no test awaits fails its file', async (t) => {
  const folder = tempFolder(t);
  const bodies = [...Object.values(STRAY), 't.ok(await later(5, true));'];
  const files = bodies.map((_, index) => join(folder, `${index}.test.ts`));
  for (const [index, file] of files.entries()) writeFileSync(file, source(bodies[index] ?? ''));
  const quiet = files.pop() ?? '';
  const { status, output } = await runTests([...files, quiet], folder);
  t.equal(status, 1, 'the run failed');
  for (const [index, name] of Object.keys(STRAY).entries()) t.match(output, `FAILED ${files[index]}`, name);
  t.match(output, `ok     ${quiet}`, 'a file without such an error passes');
  const shown = output.match(/Error: stray|not ok: stray/g) ?? [];
  t.ok(shown.length >= files.length, 'each error is shown', { output });
});

/** scripts/test over these files, after its set-up. */
function runTests(files: readonly string[], folder: string): Promise<{ status: number | null; output: string }> {
  const command = ['-u', 'NODE_OPTIONS', process.execPath, 'scripts/lib/test/run-tests.ts', ...files];
  const env = { ...process.env, TMPDIR: folder };
  return new Promise((resolve) => {
    const child = execFile('env', command, { env }, (_, stdout, stderr) => {
      resolve({ status: child.exitCode, output: stdout + stderr });
    });
  });
}
