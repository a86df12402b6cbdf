// `manifest`: what it prints is what Kubernetes takes, and holds what the plan says.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { readPlan } from '../../../src/plan/read.ts';
import { findApiFlaws } from '../../helpers/k8s-schema.ts';
import { sharedCli } from '../../helpers/resident-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const PLAN = {
  version: 1,
  source: { s3: { bucket: 'backups', endpoint: 'https://s3.example.com' } },
  pvcs: [
    {
      name: 'rootdisk',
      target: '/dev/rootdisk',
      size: '10Gi',
      chain: [
        { checkpoint: 'cp-001', type: 'full', object: 'checkpoints/demo/web/cp-001/vmb-rootdisk.qcow2', size: '3Gi' },
        { checkpoint: 'cp-002', type: 'incremental', object: 'checkpoints/demo/web/cp-002/v.qcow2', size: '100Mi' },
      ],
    },
    {
      name: 'data',
      target: '/target/disk.img',
      size: '2Gi',
      chain: [{ checkpoint: 'cp-001', type: 'full', object: 'checkpoints/demo/web/cp-001/d.qcow2', size: '1Gi' }],
    },
  ],
};

const NAMED = z.object({ name: z.string() }).loose();

/** As much of the objects as the tests look at. */
const CONFIG_MAP = z.object({
  kind: z.literal('ConfigMap'),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()),
  }),
  data: z.object({ 'plan.yaml': z.string() }),
});
const JOB = z.object({
  kind: z.literal('Job'),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    labels: z.record(z.string(), z.string()),
  }),
  spec: z.looseObject({
    backoffLimit: z.number(),
    podFailurePolicy: z.looseObject({ rules: z.array(z.looseObject({ action: z.string() })) }),
    template: z.looseObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.looseObject({
        restartPolicy: z.string(),
        serviceAccountName: z.string().optional(),
        securityContext: z.looseObject({}),
        containers: z.tuple([
          z.looseObject({
            image: z.string(),
            args: z.array(z.string()),
            securityContext: z.looseObject({}),
            volumeMounts: z.array(NAMED.extend({ mountPath: z.string() })),
            volumeDevices: z.array(NAMED.extend({ devicePath: z.string() })).optional(),
          }),
        ]),
        volumes: z.array(NAMED),
      }),
    }),
  }),
});

interface Printed {
  readonly objects: readonly { readonly kind: string }[];
  readonly configMap: z.infer<typeof CONFIG_MAP>;
  readonly jobs: readonly z.infer<typeof JOB>[];
  readonly text: string;
}

function writePlanFile(t: Test, plan: object): string {
  const path = join(tempFolder(t), 'plan.yaml');
  writeFileSync(path, JSON.stringify(plan));
  return path;
}

async function print(t: Test, plan: object, ...flags: string[]): Promise<Printed> {
  const { exitCode, stdout, stderr } = await sharedCli(['manifest', writePlanFile(t, plan), '--image=i', ...flags]);
  t.equal(stderr, '');
  t.equal(exitCode, 0);
  const documents = parseAllDocuments(stdout);
  const objects = z.array(z.looseObject({ kind: z.string() })).parse(Array.from(documents, (each) => each.toJS()));
  const [configMap, ...jobs] = objects;
  return { objects, configMap: CONFIG_MAP.parse(configMap), jobs: z.array(JOB).parse(jobs), text: stdout };
}

async function refused(t: Test, plan: object, ...flags: string[]) {
  const { exitCode, stdout } = await sharedCli(['manifest', writePlanFile(t, plan), '--output=json', ...flags]);
  const { error, problems } = JSON.parse(stdout);
  return { exitCode, error, problems };
}

function podOf(job: z.infer<typeof JOB> | undefined) {
  if (job === undefined) throw new Error('there is no such Job');
  const { spec } = job.spec.template;
  return {
    spec,
    container: spec.containers[0],
    volume: (name: string) => spec.volumes.find((each) => each.name === name),
  };
}

test('whatever the flags, Kubernetes knows every key and type of what is printed', async (t) => {
  const source = {
    s3: { ...PLAN.source.s3, credentialsFile: './mine', caFile: 'ca.pem', sseCustomerKeyFile: '/k/ssec' },
  };
  const cases: readonly { readonly plan: object; readonly flags: readonly string[] }[] = [
    { plan: PLAN, flags: [] },
    { plan: PLAN, flags: ['--namespace=demo', '--service-account=restorer', '--secret=creds', '--fs-group=65532'] },
    { plan: PLAN, flags: ['--strategy=stream', '--force', '--run-as-root'] },
    { plan: PLAN, flags: ['--scratch-class=fast', '--scratch-size=7Gi', '--target-pvc=rootdisk=web-root'] },
    { plan: PLAN, flags: ['--scratch-pvc=scratch'] },
    { plan: { ...PLAN, source }, flags: ['--secret=creds', '--strategy=staged-raw'] },
  ];
  for (const { plan, flags } of cases) {
    const { objects, jobs } = await print(t, plan, ...flags);
    t.strictSame(findApiFlaws(objects), [], flags.join(' '));
    for (const job of jobs) {
      const { spec, container } = podOf(job);
      const uses = [...container.volumeMounts, ...(container.volumeDevices ?? [])].map(({ name }) => name);
      t.strictSame(uses.toSorted(), spec.volumes.map(({ name }) => name).toSorted(), 'each volume is used once');
    }
  }
});

test('comparison, hash and compression are those of the Jobs', async (t) => {
  const [first, second] = PLAN.pvcs;
  const plan = { ...PLAN, pvcs: [first, { ...second, target: '/target/disk.qcow2' }] };
  const flags = ['--verify=compare', '--hash', '--compress'];
  const { jobs } = await print(t, plan, ...flags);
  const args = jobs.map((job) => podOf(job).container.args);
  for (const own of args) for (const flag of ['--verify=compare', '--hash']) t.ok(own.includes(flag), flag);
  t.strictSame(
    args.map((own) => own.includes('--compress')),
    [false, true],
    'a pod whose target cannot be compressed would refuse the flag',
  );
  const { jobs: plain } = await print(t, plan);
  for (const job of plain) t.notMatch(podOf(job).container.args.join(' '), /verify|hash|compress/);
  const raw = await refused(t, PLAN, '--image=i', '--compress');
  t.match(raw, { exitCode: 2, error: { code: 'USAGE', message: /--compress requires a target file/ } });
  const scrub = await refused(t, PLAN, '--image=i', '--scrub=@weekly', ...flags);
  t.equal(scrub.exitCode, 2);
  t.strictSame(
    scrub.problems.map(({ message }: { message: string }) => message),
    ['--verify', '--compress', '--hash'].map((flag) => `--scrub cannot be combined with ${flag}`),
  );
});

test('the oracle knows a wrong key and a wrong type', async (t) => {
  const job = { apiVersion: 'batch/v1', kind: 'Job', spec: { template: { spec: { containers: [{ nam: 'x' }] } } } };
  t.match(findApiFlaws([job]), [/nam.* does not exist in type 'Container'/]);
  t.match(findApiFlaws([{ kind: 'ConfigMap', ...{ data: { a: 1 } } }]), [/'number' is not assignable/]);
});

test('one Job per PVC, under one label, each restoring its own', async (t) => {
  const { configMap, jobs } = await print(t, PLAN, '--namespace=demo');
  t.strictSame(
    jobs.map((job) => podOf(job).container.args),
    [
      ['restore', '/plan/plan.yaml', '--pvc=rootdisk'],
      ['restore', '/plan/plan.yaml', '--pvc=data'],
    ],
  );
  const label = configMap.metadata.labels['kubevirt-datamover/plan'];
  t.match(label, /^[0-9a-f]{16}$/);
  for (const { metadata, spec } of jobs) {
    t.equal(metadata.namespace, 'demo');
    t.equal(metadata.labels['kubevirt-datamover/plan'], label);
    t.strictSame(spec.template.metadata.labels, metadata.labels);
    t.ok(metadata.name.length <= 63);
  }
  t.equal(new Set(jobs.map(({ metadata }) => metadata.name)).size, 2);
});

test('the plan in the ConfigMap is a plan, and the same one', async (t) => {
  const { configMap } = await print(t, PLAN);
  const inPod = await readPlan({ text: configMap.data['plan.yaml'], cwd: '/plan' });
  const here = await readPlan({ text: JSON.stringify(PLAN), cwd: '/' });
  t.strictSame(inPod, { ...here, scratch: { path: '/scratch', headroomPercent: 15 } });
});

test('a target under /dev is a block volume, one that ends in .img a file system', async (t) => {
  const { jobs } = await print(t, PLAN, '--target-pvc=data=web-data');
  const [root, data] = jobs.map(podOf);
  t.strictSame(root?.container.volumeDevices, [{ name: 'target', devicePath: '/dev/rootdisk' }]);
  t.match(root?.volume('target'), { persistentVolumeClaim: { claimName: 'rootdisk' } });
  t.equal(data?.container.volumeDevices, undefined);
  t.match(
    data?.container.volumeMounts.find(({ name }) => name === 'target'),
    { mountPath: '/target' },
  );
  t.match(data?.volume('target'), { persistentVolumeClaim: { claimName: 'web-data' } });
});

test('scratch is as large as the plan needs', async (t) => {
  const request = (printed: Printed) =>
    printed.jobs.map((job) => {
      const volume = z.looseObject({
        ephemeral: z.object({
          volumeClaimTemplate: z.object({
            spec: z.looseObject({ resources: z.object({ requests: z.object({ storage: z.string() }) }) }),
          }),
        }),
      });
      return volume.parse(podOf(job).volume('scratch')).ephemeral.volumeClaimTemplate.spec.resources.requests.storage;
    });
  // Layers of 3.1 GiB and 15 % headroom are 3.57 GiB, which an ext4 of 4 GiB would not hold.
  t.strictSame(request(await print(t, PLAN)), ['5Gi', '2Gi']);
  t.strictSame(request(await print(t, PLAN, '--strategy=staged-raw')), ['17Gi', '4Gi']);
  t.strictSame(request(await print(t, PLAN, '--scratch-size=1500M')), ['1500000000', '1500000000']);
});

test('stream has no scratch; a scratch claim is shared by folders of their own', async (t) => {
  const stream = await print(t, PLAN, '--strategy=stream');
  t.equal(podOf(stream.jobs[0]).volume('scratch'), undefined);
  const claim = await print(t, PLAN, '--scratch-pvc=big');
  t.match(podOf(claim.jobs[0]).volume('scratch'), { persistentVolumeClaim: { claimName: 'big' } });
  const args = claim.jobs.map((job) => podOf(job).container.args.at(-1));
  t.strictSame(args, ['--scratch=/scratch/rootdisk', '--scratch=/scratch/data']);
});

test('files that the plan names come from the Secret', async (t) => {
  const source = { s3: { bucket: 'b', caFile: './certs/ca.pem' } };
  const { configMap, jobs } = await print(t, { ...PLAN, source }, '--secret=creds');
  const { source: inPod } = await readPlan({ text: configMap.data['plan.yaml'], cwd: '/plan' });
  t.match(inPod, { caFile: '/credentials/ca.pem', credentialsFile: '/credentials/cloud' });
  const { container, volume } = podOf(jobs[0]);
  t.match(volume('credentials'), { secret: { secretName: 'creds', items: [{ key: 'cloud' }, { key: 'ca.pem' }] } });
  t.match(
    container.volumeMounts.find(({ name }) => name === 'credentials'),
    { mountPath: '/credentials' },
  );
});

test('a container of Azure: its Secret is mounted, or the service account has an identity', async (t) => {
  const azure = { account: 'acct', container: 'backups' };
  const withFile = await print(t, { ...PLAN, source: { azure } }, '--secret=creds');
  t.match(podOf(withFile.jobs[0]).volume('credentials'), { secret: { items: [{ key: 'cloud' }] } });
  t.match(withFile.configMap.data['plan.yaml'], /credentialsFile: \/credentials\/cloud/);
  t.strictSame(findApiFlaws(withFile.objects), []);
  const files = { sasTokenFile: './sas', caFile: './ca.pem' };
  const withSas = await print(t, { ...PLAN, source: { azure: { ...azure, ...files } } }, '--secret=creds');
  const { volume } = podOf(withSas.jobs[0]);
  t.match(volume('credentials'), { secret: { items: [{ key: 'sas' }, { key: 'ca.pem' }] } });
  t.match(withSas.configMap.data['plan.yaml'], /sasTokenFile: \/credentials\/sas/);
  t.notMatch(withSas.configMap.data['plan.yaml'], /credentialsFile/);
  const label = (printed: Printed) => printed.jobs[0]?.spec.template.metadata.labels['azure.workload.identity/use'];
  t.equal(label(await print(t, { ...PLAN, source: { azure } }, '--service-account=restorer')), 'true');
  t.equal(label(withFile), undefined);
  t.equal(label(await print(t, PLAN, '--service-account=restorer')), undefined);
});

test('a bucket of Google Cloud: its Secret is mounted', async (t) => {
  const printed = await print(
    t,
    { ...PLAN, source: { gcs: { bucket: 'backups', caFile: './ca.pem' } } },
    '--secret=creds',
  );
  t.match(podOf(printed.jobs[0]).volume('credentials'), { secret: { items: [{ key: 'cloud' }, { key: 'ca.pem' }] } });
  t.match(printed.configMap.data['plan.yaml'], /gcs:\n.*bucket: backups\n.*caFile: \/credentials\/ca.pem/);
  t.match(printed.configMap.data['plan.yaml'], /credentialsFile: \/credentials\/cloud/);
  t.strictSame(findApiFlaws(printed.objects), []);
});

test('pods ask for no privilege, and no uid unless it is root', async (t) => {
  const usual = podOf((await print(t, PLAN)).jobs[0]);
  t.strictSame(usual.spec.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  const container = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    readOnlyRootFilesystem: true,
  };
  t.strictSame(usual.container.securityContext, container);
  const root = podOf((await print(t, PLAN, '--run-as-root')).jobs[0]);
  t.match(root.spec.securityContext, { runAsUser: 0, runAsNonRoot: undefined });
  t.strictSame(root.container.securityContext, container);
});

test('what would fail again fails the Job, a moved pod does not count, the rest is tried again', async (t) => {
  const [job] = (await print(t, PLAN)).jobs;
  if (job === undefined) throw new Error('there is no Job');
  const { spec } = job;
  t.equal(spec.template.spec.restartPolicy, 'Never');
  t.ok(spec.backoffLimit > 0);
  t.equal(spec.backoffLimit, 6);
  t.match(spec.podFailurePolicy.rules, [
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    { action: 'FailJob', onExitCodes: { containerName: 'restore', operator: 'In', values: [1, 2, 4, 5, 6, 7, 8, 9] } },
  ]);
  t.strictSame(
    spec.podFailurePolicy,
    {
      rules: [
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        {
          action: 'FailJob',
          onExitCodes: { containerName: 'restore', operator: 'In', values: [1, 2, 4, 5, 6, 7, 8, 9] },
        },
      ],
    },
    'no rule besides',
  );
});

test('a pod asks for memory and not for all of it, says why it failed, and has sockets in memory', async (t) => {
  for (const flags of [[], ['--strategy=stream']]) {
    const { jobs } = await print(t, PLAN, ...flags);
    for (const job of jobs) {
      const { container, volume } = podOf(job);
      t.strictSame(container.resources, {
        requests: { cpu: '500m', memory: '384Mi' },
        limits: { memory: '1Gi' },
      });
      t.equal(container.terminationMessagePolicy, 'FallbackToLogsOnError');
      t.strictSame(volume('runtime'), { name: 'runtime', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } });
      t.strictSame(
        container.volumeMounts.filter(({ name }) => name === 'runtime'),
        [{ name: 'runtime', mountPath: '/run/kubevirt-datamover' }],
      );
    }
  }
});

test('--output json is a List that kubectl takes', async (t) => {
  const { stdout } = await sharedCli(['manifest', writePlanFile(t, PLAN), '--image=i', '--output=json']);
  const printed = await print(t, PLAN);
  t.strictSame(JSON.parse(stdout), { apiVersion: 'v1', kind: 'List', items: printed.objects });
});

test('what cannot run in pods is refused, all of it together', async (t) => {
  const [root, data] = PLAN.pvcs;
  const plan = {
    ...PLAN,
    source: { s3: { bucket: 'b', credentialsFile: '/home/me/keys' } },
    pvcs: [
      { ...root, name: 'My_Disk' },
      { ...data, target: '/plan/disk.img' },
      {
        name: 'third',
        target: '/dev/REPLACE-ME-third',
        chain: [{ checkpoint: 'a', type: 'full', object: 'a/b.qcow2' }],
      },
    ],
  };
  const { exitCode, problems } = await refused(t, plan, '--image=i', '--target-pvc=gone=x');
  t.equal(exitCode, 2);
  t.match(problems, [
    { code: 'USAGE', message: /credentialsFile \/home\/me\/keys/, hint: /kubectl create secret .*--secret NAME/ },
    { code: 'USAGE', message: /no PVC gone/, hint: /My_Disk, data, third/ },
    { pvc: 'third', code: 'PLAN_INVALID', message: /placeholder/ },
    { pvc: 'My_Disk', code: 'PLAN_INVALID', message: /invalid PVC name My_Disk/, hint: /--target-pvc My_Disk=PVC/ },
    { pvc: 'data', code: 'PLAN_INVALID', message: /\/plan is reserved/ },
    { pvc: 'third', code: 'USAGE', message: /cannot compute the scratch size/, hint: /--scratch-size/ },
  ]);
});

test('a folder is no source for pods', async (t) => {
  const folder = tempFolder(t);
  mkdirSync(join(folder, 'bucket'));
  const plan = { ...PLAN, source: { directory: join(folder, 'bucket') } };
  const { exitCode, error } = await refused(t, plan, '--image=i');
  t.equal(exitCode, 2);
  t.match(error, { code: 'PLAN_INVALID', message: /which pods cannot access/ });
});

test('two files of one name are no Secret', async (t) => {
  const source = { s3: { bucket: 'b', credentialsFile: '/a/file', caFile: '/b/file' } };
  const { problems } = await refused(t, { ...PLAN, source }, '--image=i', '--secret=s');
  t.match(problems, [
    {
      code: 'PLAN_INVALID',
      message: '/a/file and /b/file have the same file name, which a Secret cannot contain twice',
    },
  ]);
  t.equal(problems.length, 1);
});

test('flags that do not go together are refused', async (t) => {
  const cases: readonly (readonly string[])[] = [
    [],
    ['--image=a b'],
    ['--image=i', '--strategy=stream', '--scratch-size=1Gi'],
    ['--image=i', '--strategy=stream', '--scratch-pvc=c'],
    ['--image=i', '--scratch-pvc=c', '--scratch-class=fast'],
    ['--image=i', '--namespace=Demo'],
    ['--image=i', '--target-pvc=rootdisk'],
    ['--image=i', '--target-pvc=rootdisk=Bad_Name'],
    ['--image=i', '--fs-group=0'],
  ];
  for (const flags of cases) {
    const { exitCode, error } = await refused(t, PLAN, ...flags);
    t.equal(exitCode, 2, flags.join(' '));
    t.equal(error.code, 'USAGE', flags.join(' '));
  }
});
