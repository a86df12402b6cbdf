// What a layer is, by the word of qemu-img and the header's bytes alone.
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { qemu } from './chain.ts';
import { isFilled } from './filled.ts';
import { type Owner, tempFolder } from './tmp.ts';

export interface LayerFacts {
  /** Bytes of the file. */
  readonly size: number;
  readonly magic: string;
  readonly version: number;
  readonly refcountBits: number;
  readonly headerLength: number;
  /** Incompatible, compatible and autoclear features, all or'ed. */
  readonly features: bigint;
  readonly clusterSize: number;
  readonly virtualSize: number;
  readonly bitmaps: boolean;
  readonly backing: string | undefined;
  /** Clusters of the virtual disk. */
  readonly clusters: number;
  readonly data: number;
  readonly zero: number;
  readonly absent: number;
  /** Data clusters that are all zeros. */
  readonly blank: number;
  readonly compressed: number;
  /** How often a later guest cluster has an earlier place in the file. */
  readonly inversions: number;
}

const INFO = z.looseObject({
  'virtual-size': z.number(),
  'cluster-size': z.number(),
  'backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
  'format-specific': z.looseObject({ data: z.looseObject({ bitmaps: z.array(z.unknown()).optional() }) }),
});

const MAP = z.array(
  z.looseObject({
    start: z.number(),
    length: z.number(),
    present: z.boolean(),
    zero: z.boolean(),
    data: z.boolean(),
    compressed: z.boolean().optional(),
    offset: z.number().optional(),
  }),
);

export function factsOf(t: Owner, path: string): LayerFacts {
  const header = readFileSync(path).subarray(0, 112);
  const info = INFO.parse(JSON.parse(qemu('qemu-img', 'info', '-U', '-f', 'qcow2', '--output=json', path)));
  const clusterSize = info['cluster-size'];
  // map opens the backing file, which exists nowhere.
  const copy = join(tempFolder(t), 'layer.qcow2');
  cpSync(path, copy);
  qemu('qemu-img', 'rebase', '-q', '-u', '-f', 'qcow2', '-b', '', copy);
  const runs = MAP.parse(JSON.parse(qemu('qemu-img', 'map', '-f', 'qcow2', '--output=json', copy)));
  const count = (kind: (run: (typeof runs)[number]) => boolean): number =>
    runs.filter(kind).reduce((sum, { length }) => sum + Math.ceil(length / clusterSize), 0);
  const bytes = readFileSync(path);
  const places = runs.flatMap(({ data, offset, length }) =>
    data && offset !== undefined
      ? Array.from({ length: Math.ceil(length / clusterSize) }, (_, index) => offset + index * clusterSize)
      : [],
  );
  return {
    size: bytes.length,
    magic: header.toString('latin1', 0, 3),
    version: header.readUInt32BE(4),
    refcountBits: 1 << header.readUInt32BE(96),
    headerLength: header.readUInt32BE(100),
    features: header.readBigUInt64BE(72) | header.readBigUInt64BE(80) | header.readBigUInt64BE(88),
    clusterSize,
    virtualSize: info['virtual-size'],
    bitmaps: info['format-specific'].data.bitmaps !== undefined,
    backing: info['backing-filename'] && `${info['backing-filename-format']}:${info['backing-filename']}`,
    clusters: Math.ceil(info['virtual-size'] / clusterSize),
    data: count(({ data }) => data),
    zero: count(({ present, zero, data }) => present && zero && !data),
    absent: count(({ present }) => !present),
    blank: places.filter((at) => isFilled(bytes.subarray(at, at + clusterSize))).length,
    compressed: count(({ compressed }) => compressed === true),
    inversions: places.filter((at, index) => at < (places[index - 1] ?? 0)).length,
  };
}
