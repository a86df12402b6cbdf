// A folder of a test's own, gone with the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** Whatever a thing may live as long as: a test, or a run of the fault campaign. */
export type Owner = Pick<Test, 'teardown'>;

/** A new empty folder under the system's temp folder, short enough for sockets; removed when `t` ends. */
export function tempFolder(t: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), 'kdm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
