// The targets of one run, as drawn, and what may be found on them afterwards.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MiB } from '../../../src/units.ts';
import { difference } from '../../../test/helpers/backup.ts';
import { type BadDevice, badDevice } from '../../../test/helpers/bad-device.ts';
import { bytesAt, isFilled } from '../../../test/helpers/filled.ts';
import { loopDevice } from '../../../test/helpers/loop-device.ts';
import { type Owner, tempFolder } from '../../../test/helpers/tmp.ts';
import type { Drawn } from './draw.ts';

export interface CampaignTarget {
  readonly path: string;
  readonly isDevice: boolean;
  /** Whether a restore onto it can end well at all. */
  readonly sound: boolean;
  /** Whether it has to be overwritten. */
  readonly dirty: boolean;
  /** Devices that die do so when this is called. */
  readonly die?: () => Promise<void>;
  /** What stands there now. */
  state(truth: string): Promise<TargetState>;
}

/** `wrong`: neither the true disk, nor nothing, nor a claim, nor what was there before. */
export type TargetState = 'restored' | 'blank' | 'claim' | 'untouched' | 'wrong';

const FILL = 0xff;
const PRECIOUS = 'precious';

/** The drawn kind for the first disk, a blank device for the others. */
export async function makeTarget(
  owner: Owner,
  { target: kind, place }: Pick<Drawn, 'target' | 'place'>,
  size: number,
): Promise<CampaignTarget> {
  const at = Math.floor((place * size) / 512) * 512;
  switch (kind) {
    case 'blank device':
      return onDevice(loopDevice(owner, { size }));
    case 'dirty device':
      return onDevice(loopDevice(owner, { size: size + MiB, fill: FILL }), { dirty: true });
    case 'larger device':
      return onDevice(loopDevice(owner, { size: size + 5 * MiB + 512 }));
    case 'new file':
      return onFile(join(tempFolder(owner), 'disk.raw'));
    case 'existing file': {
      const path = join(tempFolder(owner), 'disk.raw');
      writeFileSync(path, PRECIOUS);
      return onFile(path, { dirty: true });
    }
    case 'bad sector':
      return onDevice(await badDevice(owner, { size, fails: { on: 'write', at } }), { sound: false });
    case 'full device':
      return onDevice(await badDevice(owner, { size, fails: { on: 'write', at, errno: 28 } }), { sound: false });
    case 'failing flush':
      return onDevice(await badDevice(owner, { size, fails: { on: 'flush' } }), { sound: false });
    case 'dying device':
      return onDevice(await badDevice(owner, { size }), { sound: false });
    case 'small device':
      return onDevice(loopDevice(owner, { size: size - 512 }), { sound: false });
    case 'read-only device':
      return onDevice(loopDevice(owner, { size, readOnly: true }), { sound: false });
  }
}

interface Kind {
  readonly sound?: boolean;
  readonly dirty?: boolean;
}

function onDevice(
  device: { readonly path: string; readonly file: string } | BadDevice,
  { sound = true, dirty = false }: Kind = {},
): CampaignTarget {
  const state = async (truth: string): Promise<TargetState> => {
    const head = bytesAt(device.file, 0, 4096);
    if (isFilled(head)) return 'blank';
    if (head.toString('latin1').startsWith('kubevirt-datamover claim\n')) return 'claim';
    if (dirty && isFilled(head, FILL)) return 'untouched';
    if ((await difference(device.file, truth)) !== undefined) return 'wrong';
    return isZeroFrom(device.file, statSync(truth).size) ? 'restored' : 'wrong';
  };
  return { path: device.path, isDevice: true, sound, dirty, state, ...('die' in device ? { die: device.die } : {}) };
}

/** Beyond the disk a device is zeroed. */
function isZeroFrom(path: string, offset: number): boolean {
  return isFilled(bytesAt(path, offset, statSync(path).size - offset));
}

function onFile(path: string, { dirty = false }: Kind = {}): CampaignTarget {
  const state = async (truth: string): Promise<TargetState> => {
    if (!existsSync(path)) return 'blank';
    if (dirty && statSync(path).size === PRECIOUS.length && readFileSync(path, 'utf8') === PRECIOUS) return 'untouched';
    return (await difference(path, truth)) === undefined ? 'restored' : 'wrong';
  };
  return { path, isDevice: false, sound: true, dirty, state };
}

/** What an orderly end must not leave beside a file target. */
export function partialsOf({ path, isDevice }: CampaignTarget): string[] {
  if (isDevice) return [];
  return readdirSync(dirname(path)).filter((name) => name !== basename(path));
}
