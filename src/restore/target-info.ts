// Which device or file a PVC was restored to, for the receipt.
import { messageOf } from '../errors.ts';
import type { Progress } from '../progress.ts';
import type { TargetInfo } from '../result.ts';
import { stableNames } from '../target/devices.ts';
import type { Target } from '../target/target.ts';

/** Undefined, with a warning, where the system does not answer: a restore does not fail for its receipt. */
export async function describeTarget(
  target: Target,
  { progress, pvc }: { readonly progress: Progress; readonly pvc: string },
): Promise<TargetInfo | undefined> {
  const { kind, realPath, format, sectorSize, identity } = target;
  try {
    const size = (await target.length()) ?? null;
    if (kind === 'file') return { kind, realPath, format, size };
    const { medium } = identity;
    return { kind, realPath, size, sectorSize, medium, byId: await stableNames(realPath) };
  } catch (error) {
    progress.report({ type: 'warning', pvc, message: `target not described in the result: ${messageOf(error)}` });
    return undefined;
  }
}
