// Which tools a test needs: without them it is a named skip on a laptop and a failure in CI.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Test } from 'tap';

/**
 * True when every tool is there and the test may go on. Else the test is skipped by name (failed when `CI` is `true`)
 * and must return. A tool is a program's name, an absolute path that must exist, or `root`: uid 0.
 */
export function requires(t: Test, ...tools: string[]): boolean {
  const missing = tools.filter((tool) => !isThere(tool));
  if (missing.length === 0) return true;
  const message = `needs ${missing.join(', ')}`;
  if (process.env.CI === 'true') t.fail(message, { hint: 'scripts/setup installs what the tests need' });
  else t.pass(message, { skip: message });
  return false;
}

/** Whether a program or `root` is available, for what may do without. */
export function requiresQuietly(tool: string): boolean {
  return isThere(tool);
}

function isThere(tool: string): boolean {
  if (tool === 'root') return process.getuid?.() === 0;
  if (tool.startsWith('/')) return isAccessible(tool, constants.F_OK);
  return searchPath().some((folder) => isAccessible(join(folder, tool), constants.X_OK));
}

/** PATH and the system's folders: Debian leaves them out for users who are not root. */
function searchPath(): string[] {
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter((folder) => folder !== '');
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    // Not there or not ours to run: that is the answer.
    return false;
  }
}
