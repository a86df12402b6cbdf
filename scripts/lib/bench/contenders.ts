// What is compared: each a shell script that brings a data set's first disk from the server onto a device.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DataDisk, DataSet } from './data.ts';

export interface Job {
  readonly set: DataSet;
  /** Where the objects are, without a path. */
  readonly endpoint: string;
  /** The authority that an https endpoint is trusted by, a PEM file. */
  readonly caFile: string;
  /** Empty. */
  readonly scratch: string;
  /** One a disk. */
  readonly targets: readonly string[];
  /** For plans and sockets. */
  readonly folder: string;
  readonly program: string;
}

export interface Contender {
  readonly name: string;
  readonly says: string;
  /** Writes beside the script whatever it needs; gives the script. */
  prepare(job: Job): Promise<{ readonly script: string; readonly env?: Readonly<Record<string, string>> }>;
}

export const REFERENCE = 'reference';

/** Names of contenders that read the target back and compare it. */
export const COMPARING = ['reference-compare', 'staged-compare', 'stream-compare'];

export const CONTENDERS: readonly Contender[] = [
  {
    name: REFERENCE,
    says: 'each object with one stream of curl, one after another; rebase -u; convert -p -f qcow2 -O raw; flush',
    prepare: async (job) => ({ script: byHand(job, { compare: false }) }),
  },
  {
    name: 'reference-compare',
    says: 'the reference, then qemu-img compare',
    prepare: async (job) => ({ script: byHand(job, { compare: true }) }),
  },
  ...(['staged', 'staged-raw', 'stream'] as const).map((strategy): Contender => {
    return {
      name: strategy,
      says: `restore --strategy ${strategy}`,
      prepare: (job) => prepareOurs(job, ['--strategy', strategy]),
    };
  }),
  ...(['staged', 'stream'] as const).map((strategy): Contender => {
    return {
      name: `${strategy}-compare`,
      says: `restore --strategy ${strategy} --verify compare`,
      prepare: (job) => prepareOurs(job, ['--strategy', strategy, '--verify', 'compare']),
    };
  }),
  {
    name: 'rclone',
    says: 'rclone copy, 4 files at a time with 8 streams each; then rebase and convert as in the reference',
    prepare: async (job) => ({
      script: [
        `rclone copy --config /dev/null --http-url ${job.endpoint} :http:${job.set.bucket}/checkpoints ${job.scratch} ` +
          `--ca-cert ${job.caFile} --transfers 4 --multi-thread-streams 8 --multi-thread-cutoff 64M ` +
          // A connection that stalls is given up after 5 minutes otherwise, which was seen once.
          '--contimeout 10s --timeout 30s',
        ...job.set.disks.flatMap((disk, index) =>
          rebaseAndConvert(disk, job.targets[index] ?? '', (layer) =>
            join(job.scratch, disk.layers[layer]?.object.replace(/^checkpoints\//, '') ?? ''),
          ),
        ),
        `rm -r ${job.scratch}/*`,
      ].join('\n'),
    }),
  },
  {
    name: 'nbdkit',
    says: "nbdkit's curl plugin for each layer, the chain as a graph into qemu-img convert -n -W -m 16 -t none",
    prepare: async (job) => ({ script: job.set.disks.map((disk, index) => nbdkit(job, disk, index)).join('\n') }),
  },
];

/** Lets the program write down what it alone took. */
export function usageEnvironment(): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--require=${fileURLToPath(new URL('usage-hook.cjs', import.meta.url))}` };
}

async function prepareOurs(
  job: Job,
  flags: readonly string[],
): Promise<{ readonly script: string; readonly env: Readonly<Record<string, string>> }> {
  const plan = join(job.folder, 'plan.json');
  const credentials = join(job.folder, 'credentials');
  await writeFile(credentials, '[default]\naws_access_key_id=bench\naws_secret_access_key=bench\n', { mode: 0o600 });
  const chain = (disk: DataDisk) =>
    disk.layers.map(({ checkpoint, type, object, size }) => ({ checkpoint, type, object, size }));
  const s3 = {
    bucket: job.set.bucket,
    endpoint: job.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentialsFile: credentials,
    ...(job.endpoint.startsWith('https:') ? { caFile: job.caFile } : {}),
  };
  const pvcs = job.set.disks.map((disk, index) => ({
    name: disk.name,
    target: job.targets[index],
    chain: chain(disk),
  }));
  await writeFile(plan, JSON.stringify({ version: 1, source: { s3 }, scratch: { path: job.scratch }, pvcs }));
  return {
    script: `exec ${job.program} restore ${plan} --output json --log-level error ${flags.join(' ')} >${job.folder}/result.json`,
    env: usageEnvironment(),
  };
}

function byHand(job: Job, { compare }: { readonly compare: boolean }): string {
  return job.set.disks
    .flatMap((disk, index) => {
      const target = job.targets[index] ?? '';
      const tip = fileOf(job, disk.layers.length - 1);
      return [
        ...disk.layers.map(({ object }, layer) => {
          return `curl -sSf --cacert ${job.caFile} -o ${fileOf(job, layer)} ${urlOf(job, object)}`;
        }),
        ...rebaseAndConvert(disk, target, (layer) => fileOf(job, layer)),
        // The device may be larger.
        ...(compare ? [`qemu-img compare -f qcow2 -F raw ${tip} ${target} >/dev/null`] : []),
        `rm ${job.scratch}/*.qcow2`,
      ];
    })
    .join('\n');
}

function urlOf({ endpoint, set }: Job, object: string): string {
  return `${endpoint}/${set.bucket}/${object}`;
}

function fileOf({ scratch }: Job, layer: number): string {
  return join(scratch, `${String(layer).padStart(3, '0')}.qcow2`);
}

function rebaseAndConvert(disk: DataDisk, target: string, file: (layer: number) => string): string[] {
  return [
    ...disk.layers
      .slice(1)
      .map((_, index) => `qemu-img rebase -u -f qcow2 -F qcow2 -b ${file(index)} ${file(index + 1)}`),
    `qemu-img convert -p -f qcow2 -O raw ${file(disk.layers.length - 1)} ${target} >/dev/null`,
    flush(target),
  ];
}

/** convert leaves what it wrote in the page cache. */
function flush(target: string): string {
  return `sync --data ${target}`;
}

function nbdkit(job: Job, disk: DataDisk, index: number): string {
  const socket = (layer: number): string => join(job.folder, `${layer}.sock`);
  let graph: unknown = null;
  for (const layer of disk.layers.keys()) {
    const file = { driver: 'nbd', server: { type: 'unix', path: socket(layer) } };
    graph = { driver: 'qcow2', file, backing: graph };
  }
  return [
    `servers=(); rm -f ${job.folder}/*.sock`,
    ...disk.layers.flatMap(({ object }, layer) => [
      `nbdkit -f -r --exit-with-parent -U ${socket(layer)} curl ${urlOf(job, object)} cainfo=${job.caFile} & servers+=($!)`,
    ]),
    ...disk.layers.map((_, layer) => `until [[ -S ${socket(layer)} ]]; do sleep 0.01; done`),
    `qemu-img convert -n -W -m 16 -t none -O raw 'json:${JSON.stringify(graph)}' ${job.targets[index]}`,
    flush(job.targets[index] ?? ''),
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's.
    'kill "${servers[@]}"; wait "${servers[@]}" || true',
  ].join('\n');
}
