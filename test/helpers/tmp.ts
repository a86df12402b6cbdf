// A folder of a test's own, gone with the test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** A new empty folder under the system's temp folder, short enough for sockets; removed when `t` ends. */
export function tempFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'kdm-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
