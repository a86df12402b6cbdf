// A cluster back from a bucket: 40 VMs, two damaged disks. Every object that `manifest` prints is one that Kubernetes and Kueue take, and
// every Job's command runs for real, with its ConfigMap, its Secret and its volume put where this machine has them.
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { mapBounded } from '../../src/concurrency.ts';
import { MiB } from '../../src/units.ts';
import { difference } from '../helpers/backup.ts';
import type { Json } from '../helpers/bucket.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { findApiFlaws, findQueueFlaws } from '../helpers/k8s-schema.ts';
import { attachLoop, detachLoop } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { type ResidentCli, residentCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { type CliResult, runCli } from '../helpers/run-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

const STEPS = [{ disks: { root: 'AB', data: 'C' } }, { disks: { root: 'X-', data: 'Z' } }];
const VMS = 40;

interface Cluster {
  readonly folder: string;
  /** ConfigMaps by namespace and name. */
  readonly plans: ReadonlyMap<string, string>;
  /** What the containers run; container.test.ts starts the program in real ones. */
  readonly run: ResidentCli;
}

/** The file behind the volume of a PVC. */
function volumeOf({ folder }: Cluster, namespace: string, claim: string): string {
  return join(folder, `${namespace}-${claim}.volume`);
}

/** Puts the volume of a Job's pod where its command finds it; the paths of its mounts are replaced by those of this machine, nothing else. */
async function withPod<T>(
  job: Json,
  cluster: Cluster,
  work: (run: () => Promise<CliResult>, volume: string) => Promise<T>,
): Promise<T> {
  const { namespace, name } = job.metadata;
  const { containers, volumes } = job.spec.template.spec;
  const [container] = containers;
  const volume = (wanted: string): Json => volumes.find((one: Json) => one.name === wanted);
  const backing = volumeOf(cluster, namespace, volume('target').persistentVolumeClaim.claimName);
  const device = attachLoop(backing);
  try {
    const [{ devicePath }] = container.volumeDevices;
    const plan = cluster.plans.get(`${namespace}/${volume('plan').configMap.name}`) ?? '';
    const file = join(cluster.folder, `${namespace}-${name}.yaml`);
    const keys = join(cluster.folder, volume('credentials').secret.items[0].path);
    const line = `target: ${devicePath}\n`;
    if (!plan.includes(line)) throw new Error(`no ${line} in the plan of ${name}`);
    writeFileSync(file, plan.replace(line, `target: ${device}\n`).replace('/credentials/cloud', keys));
    const args = container.args.map((arg: string) => (arg === '/plan/plan.yaml' ? file : arg));
    return await work(() => cluster.run([...args, '--output=json']), backing);
  } finally {
    detachLoop(device);
  }
}

test('every disk of every VM, in a new cluster', { timeout: 900_000 }, async (t) => {
  const tools = ['qemu-img', 'qemu-io', 'setpriv', 'cmp', 'losetup', 'root'];
  if (!requires(t, ...tools, ...RGW_TOOLS)) return;
  const fleet = await makeFleet(t, VMS, STEPS);
  const [upper, lower] = [fleet.vms[7], fleet.vms[23]];
  if (upper === undefined || lower === undefined) throw new Error('too few VMs');
  // Headers stay sound: only who reads the images finds out. Cluster 3 is the L1 table.
  for (const [path, offset] of [
    [fleet.own(upper, 2, 'root'), 3 * 65_536],
    [fleet.own(lower, 1, 'data'), 3 * 65_536],
  ] as const) {
    const bytes = readFileSync(path);
    bytes.fill(0xff, offset, offset + 8);
    writeFileSync(path, bytes);
  }
  const broken = [`${upper.name}-pvc-root`, `${lower.name}-pvc-data`];
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  await rgw.putFolder(bucket, fleet.folder, 'p/');

  const folder = tempFolder(t);
  const source = [`--source=s3://${bucket}/p`, `--endpoint=${rgw.endpoint}`, `--region=${rgw.region}`, '--path-style'];
  const planned = await runCli(['plan', ...source, '--backup=b2'], { env: rgw.env });
  t.equal(planned.exitCode, 0, planned.stderr);
  const flags = ['--create-pvcs', '--queue=restores', '--secret=creds', '--strategy=stream'];
  const printed = await runCli(['manifest', '-', '--image=i', ...flags], { stdin: planned.stdout });
  t.equal(printed.exitCode, 0, printed.stderr);

  const objects: Json[] = Array.from(parseAllDocuments(printed.stdout), (each) => each.toJS());
  const ofKind = (kind: string): Json[] => objects.filter((each) => each.kind === kind);
  const jobs = ofKind('Job');
  t.strictSame([ofKind('ConfigMap').length, ofKind('PersistentVolumeClaim').length, jobs.length], [VMS, 80, 80]);

  const plans = new Map(
    ofKind('ConfigMap').map(({ metadata, data }) => [`${metadata.namespace}/${metadata.name}`, data['plan.yaml']]),
  );
  const cluster: Cluster = { folder, plans, run: residentCli(t) };
  mkdirSync(folder, { recursive: true });
  const keys = `[default]\naws_access_key_id = ${rgw.accessKey}\naws_secret_access_key = ${rgw.secretKey}\n`;
  writeFileSync(join(folder, 'cloud'), keys);
  for (const { metadata, spec } of ofKind('PersistentVolumeClaim')) {
    const size = Number(/^(\d+)Mi$/.exec(spec.resources.requests.storage)?.[1]) * MiB;
    const volume = volumeOf(cluster, metadata.namespace, metadata.name);
    writeFileSync(volume, '');
    truncateSync(volume, size);
  }

  const bounded = { limit: 4, signal: new AbortController().signal };
  const claimOf = (job: Json): string =>
    job.spec.template.spec.volumes.find(({ name }: Json) => name === 'target').persistentVolumeClaim.claimName;
  const ended = await mapBounded(jobs, bounded, async (job) => {
    const name = claimOf(job);
    return await withPod(job, cluster, async (run, file) => {
      const first = await run();
      if (first.exitCode !== 0) return { name, ...first };
      const written = statSync(file, { bigint: true }).mtimeNs;
      const second = await run();
      if (JSON.parse(second.stdout).error.code !== 'TARGET_NOT_BLANK') t.fail(`${name}: ${second.stderr}`);
      if (statSync(file, { bigint: true }).mtimeNs !== written) t.fail(`${name}: a second run wrote to it`);
      const disk = job.metadata.annotations['kubevirt-datamover/disk'];
      const differs = await difference(file, fleet.template.truth(2, disk));
      if (differs !== undefined) t.fail(`${name}: ${differs}`);
      if (JSON.parse(first.stdout).pvcs[0].state !== 'restored') t.fail(`${name}: ${first.stdout}`);
      return { name, ...first };
    });
  });
  const failed = ended.filter(({ exitCode }) => exitCode !== 0);
  t.strictSame(failed.map(({ name }) => name).sort(), broken.toSorted(), 'two, and just these');
  for (const { exitCode, stdout } of failed) {
    t.equal(exitCode, 4);
    t.match(JSON.parse(stdout).error, { code: 'IMAGE_CORRUPT', message: /team-\d\/vm-\d+\// });
  }
  t.equal(ended.length - failed.length, 78);

  const scrub = await runCli(['manifest', '-', '--image=i', '--secret=creds', '--scrub=@weekly'], {
    stdin: planned.stdout,
  });
  const [cronJob]: Json[] = Array.from(parseAllDocuments(scrub.stdout), (each) => each.toJS());
  const args = cronJob.spec.jobTemplate.spec.template.spec.containers[0].args.map((arg: string) =>
    arg.replace('/credentials/cloud', join(folder, 'cloud')),
  );
  const found = await runCli([...args, '--output=json']);
  t.equal(found.exitCode, 4);
  const { pvcs } = JSON.parse(found.stdout);
  t.equal(pvcs.length, 80);
  t.strictSame(
    pvcs.filter(({ verdict }: Json) => verdict === 'broken').map(({ name }: Json) => name),
    [`${upper.namespace}/${upper.name}/root`, `${lower.namespace}/${lower.name}/data`],
  );
  // The compiler that judges them is large, and a process starts the slower the larger its parent is.
  t.strictSame(findApiFlaws(objects), []);
  t.strictSame(findQueueFlaws(jobs), []);
});
