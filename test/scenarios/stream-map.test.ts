// A map that is not the disk's, as a broken or replaced qemu-img would print it: refused before anything can boot from the
// target, whatever was written until then.
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, madeBackup, planFor } from '../helpers/backup.ts';
import { loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { headOf, probe } from '../helpers/strike.ts';
import { tempFolder } from '../helpers/tmp.ts';

const BACKUP = 'backup-003';

/** JavaScript that changes `runs`, the parsed map, in place; `data` is one of its last lines of data. */
const CHANGES: Readonly<Record<string, readonly [change: string, code: string, message: RegExp]>> = {
  'a line that overlaps the one before': [
    'runs[at].start -= 65536; runs[at].length += 65536',
    'TOOL_FAILED',
    /^qemu-img map: invalid range \d+ to \d+: expected one from \d+ within \d+ bytes/,
  ],
  'a line that leaves a gap': ['runs.splice(at, 1)', 'TOOL_FAILED', /^qemu-img map: invalid range/],
  'lines in another order': [
    '[runs[at - 1], runs[at]] = [runs[at], runs[at - 1]]',
    'TOOL_FAILED',
    /^qemu-img map: invalid range/,
  ],
  'bytes beyond the end of the object': [
    'runs[at].offset += 1024 ** 3',
    'IMAGE_CORRUPT',
    /vmb-00\d-rootdisk\.qcow2: invalid map: data at \d+ to \d+ is beyond the end of the object/,
  ],
  'an end of the data beyond the end of the object': [
    'runs[at].offset += 24 * 1024 ** 2 - runs[at].length',
    'IMAGE_CORRUPT',
    /vmb-00\d-rootdisk\.qcow2: invalid map: data at/,
  ],
  'bytes that begin in the middle of a cluster': [
    'runs[at].offset -= 512',
    'IMAGE_CORRUPT',
    /invalid map: the data at byte \d+ of the disk is not aligned to 4096 bytes/,
  ],
  'a layer that the chain does not have': ['runs[at].depth = 3', 'TOOL_FAILED', /invalid depth 3 .* 3 layers/],
  'an end before the end of the disk': [
    'runs.length = at',
    'TOOL_FAILED',
    /^qemu-img map: output ends early: expected \d+ bytes, got \d+/,
  ],
  'more than the disk': [
    'const { start, length } = runs.at(-1); runs.push({ ...runs.at(-1), start: start + length, length: 65536 })',
    'TOOL_FAILED',
    /^qemu-img map: invalid range/,
  ],
  'data without a place': [
    'delete runs[at].offset',
    'IMAGE_CORRUPT',
    /invalid map: no offset for the data at byte \d+/,
  ],
  'a line that is no JSON': ['text = text.replaceAll("depth", "depth\\"")', 'TOOL_FAILED', /qemu-img map/],
};

test('a map that is not the disk', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, 'root', 'losetup', 'blkid')) return;
  const disk = { name: 'rootdisk', size: 24 * MiB, initial: { bytes: 12 * MiB } };
  const made = await madeBackup(t, { disks: [disk], checkpoints: 3 });
  for (const [name, [change, code, message]] of Object.entries(CHANGES)) {
    await t.test(name, async (t) => {
      const device = loopDevice(t, { size: 24 * MiB });
      const plan = await planFor(made, BACKUP, { rootdisk: device.path });
      const run = await runRestore(plan, ['--strategy', 'stream'], { PATH: changedMap(t, change) });
      t.equal(run.exitCode, code === 'IMAGE_CORRUPT' ? 4 : 7);
      t.match(run.document.error, { code, message });
      t.match(run.document.pvcs[0], { state: 'failed' });
      execFileSync('blockdev', ['--flushbufs', device.path]);
      t.equal(headOf(device), 'blank', 'the claim is wiped, the edges were never written');
      t.equal(probe(device), '', 'nothing is found on the device');
    });
  }
});

/** A PATH whose qemu-img changes what the real one maps. */
function changedMap(t: Test, change: string): string {
  const folder = tempFolder(t);
  const tool = execFileSync('which', ['qemu-img'], { encoding: 'utf8' }).trim();
  const filter = join(folder, 'change.cjs');
  writeFileSync(
    filter,
    `const runs = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const at = runs.findLastIndex(({ data, start }, index) => data && index > 1 && index < runs.length - 2 && start > 0);
let text;
${change.startsWith('text') ? '' : `${change};`}
text = '[' + runs.map((run) => JSON.stringify(run)).join(',\\n') + ']\\n';
${change.startsWith('text') ? `${change};` : ''}
process.stdout.write(text);
`,
  );
  const script = join(folder, 'qemu-img');
  writeFileSync(
    script,
    `#!/bin/bash
set -o pipefail
if [[ "$1" == map ]]; then '${tool}' "$@" | '${process.execPath}' '${filter}'; else exec '${tool}' "$@"; fi
`,
  );
  chmodSync(script, 0o755);
  return `${folder}:${process.env.PATH ?? ''}`;
}
