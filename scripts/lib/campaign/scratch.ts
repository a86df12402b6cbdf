// Scratch for one run: plenty, too small from the beginning, or filled up by somebody else on the way.
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KiB, MiB } from '../../../src/units.ts';
import { smallDisk } from '../../../test/helpers/small-disk.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import type { Drawn } from './draw.ts';

export interface CampaignScratch {
  readonly path: string;
  /** Takes up nearly all that is free. */
  fill(): void;
  /** Gives it back. */
  free(): void;
}

/** `need`: bytes that the largest PVC takes, without headroom. */
export function makeScratch(owner: Owner, { scratch }: Drawn, need: number): CampaignScratch {
  if (scratch === 'none') {
    return { path: join(tempFolder(owner), 'scratch'), fill: () => {}, free: () => {} };
  }
  const root = smallDisk(owner, { size: Math.ceil(need * 1.2) + 8 * MiB });
  const [path, ballast] = [join(root, 'scratch'), join(root, 'ballast')];
  mkdirSync(path, { mode: 0o700 });
  const disk: CampaignScratch = {
    path,
    fill: () => {
      const { bavail, bsize } = statfsSync(root);
      try {
        writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - 64 * KiB), 1));
      } catch {
        // The program was writing too: it is full all the same.
      }
    },
    free: () => rmSync(ballast, { force: true }),
  };
  if (scratch === 'too small') disk.fill();
  return disk;
}
