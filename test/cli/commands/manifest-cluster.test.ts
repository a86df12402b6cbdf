// `manifest` for many VMs: target PVCs, queues, namespaces; every object as Kubernetes and Kueue take it, and the same each time.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { buildManifest } from '../../../src/kubernetes/manifest.ts';
import type { ManifestOptions } from '../../../src/kubernetes/options.ts';
import { parsePlan } from '../../../src/plan/parse.ts';
import { readPlan } from '../../../src/plan/read.ts';
import type { Json } from '../../helpers/bucket.ts';
import { findApiFlaws, findQueueFlaws } from '../../helpers/k8s-schema.ts';
import { sharedCli } from '../../helpers/resident-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const chain = (vm: string, disk: string) => [
  { checkpoint: 'cp-1', type: 'full', object: `checkpoints/${vm}/cp-1/${disk}.qcow2`, size: '1Gi' },
  { checkpoint: 'cp-2', type: 'incremental', object: `checkpoints/${vm}/cp-2/${disk}.qcow2`, size: '1Mi' },
];

function pvc(vm: string, name: string, more: object = {}) {
  const target = `/dev/REPLACE-ME-${vm}/${name}`;
  return { name, vm, claimName: `${vm.split('/')[1]}-${name}`, target, size: '10Gi', chain: chain(vm, name), ...more };
}

const PLAN = {
  version: 1,
  source: { s3: { bucket: 'backups', endpoint: 'https://s3.example.com' } },
  backup: 'b4',
  pvcs: [pvc('shop/web', 'root'), pvc('shop/web', 'data', { size: 10_000_000_001 }), pvc('lab/db', 'root')],
};

function writePlanFile(t: Test, plan: object): string {
  const path = join(tempFolder(t), 'plan.yaml');
  writeFileSync(path, JSON.stringify(plan));
  return path;
}

async function print(t: Test, plan: object, ...flags: string[]): Promise<{ text: string; objects: Json[] }> {
  const { exitCode, stdout, stderr } = await sharedCli(['manifest', writePlanFile(t, plan), '--image=i', ...flags]);
  t.equal(exitCode, 0, stderr);
  return { text: stdout, objects: Array.from(parseAllDocuments(stdout), (each) => each.toJS()) };
}

async function refused(t: Test, plan: object, ...flags: string[]): Promise<Json[]> {
  const path = writePlanFile(t, plan);
  const { exitCode, stdout, stderr } = await sharedCli(['manifest', path, '--image=i', '--log-format=json', ...flags]);
  t.equal(exitCode, 2, stderr);
  t.equal(stdout, '', 'nothing on stdout');
  const json = await sharedCli(['manifest', path, '--image=i', '--output=json', ...flags]);
  return JSON.parse(json.stdout).problems;
}

const CREATE = ['--create-pvcs', '--strategy=stream'];

test('target PVCs: names of the backup, namespaces of the VMs, sizes rounded up', async (t) => {
  const classes = ['--storage-class=fast', '--storage-class=data=slow', '--storage-class=lab/db/root=gold'];
  const { objects } = await print(t, PLAN, ...CREATE, ...classes, '--access-mode=ReadWriteMany');
  t.strictSame(findApiFlaws(objects), []);
  const claims = objects.filter(({ kind }) => kind === 'PersistentVolumeClaim');
  t.strictSame(
    claims.map(({ metadata, spec }) => [
      metadata.namespace,
      metadata.name,
      spec.resources.requests.storage,
      spec.storageClassName,
      spec.volumeMode,
      spec.accessModes,
    ]),
    [
      ['shop', 'web-root', '10Gi', 'fast', 'Block', ['ReadWriteMany']],
      ['shop', 'web-data', '9537Mi', 'slow', 'Block', ['ReadWriteMany']],
      ['lab', 'db-root', '10Gi', 'gold', 'Block', ['ReadWriteMany']],
    ],
  );
  t.match(claims[0].metadata, {
    labels: { 'kubevirt-datamover/backup': 'b4' },
    annotations: {
      'kubevirt-datamover/vm': 'shop/web',
      'kubevirt-datamover/disk': 'root',
      'kubevirt-datamover/backup': 'b4',
      'kubevirt-datamover/checkpoint': 'cp-2',
    },
  });
  const usual = await print(t, PLAN, ...CREATE, '--target-pvc=lab/db/root=old', '--namespace=new');
  const [first, , last] = usual.objects.filter(({ kind }) => kind === 'PersistentVolumeClaim');
  t.match(first, {
    metadata: { namespace: 'new' },
    spec: { accessModes: ['ReadWriteOnce'], storageClassName: undefined },
  });
  t.match(last, { metadata: { namespace: 'new', name: 'old' } });
});

test('each VM has a plan of its own, and its Jobs mount its PVCs', async (t) => {
  const { objects, text } = await print(t, PLAN, ...CREATE);
  const plans = objects.filter(({ kind }) => kind === 'ConfigMap');
  t.strictSame(
    plans.map(({ metadata }) => metadata.namespace),
    ['shop', 'lab'],
  );
  const jobs = objects.filter(({ kind }) => kind === 'Job');
  for (const job of jobs) {
    const { containers, volumes } = job.spec.template.spec;
    const config = volumes.find(({ name }: Json) => name === 'plan').configMap.name;
    const plan = plans.find(({ metadata }) => metadata.name === config);
    t.equal(plan.metadata.namespace, job.metadata.namespace);
    const read = await readPlan({ text: plan.data['plan.yaml'], cwd: '/plan' });
    const wanted = containers[0].args.find((arg: string) => arg.startsWith('--pvc=')).slice('--pvc='.length);
    const target = read.pvcs.find(({ name }) => name === wanted);
    t.strictSame(containers[0].volumeDevices, [{ name: 'target', devicePath: target?.target }]);
    t.match(volumes.at(-1), { persistentVolumeClaim: { claimName: target?.claimName } });
    t.equal(job.metadata.annotations['kubevirt-datamover/vm'], `${read.vm?.namespace}/${read.vm?.name}`);
  }
  const label = new Set(objects.map(({ metadata }) => metadata.labels['kubevirt-datamover/plan']));
  t.equal(label.size, 1, 'one label on all');
  t.match(text, /# {3}wait: {5}kubectl wait jobs -l kubevirt-datamover\/plan=[0-9a-f]{16} --all-namespaces --for=/);
  t.match(text, /# {3}failed: {3}kubectl get pods .*--field-selector=status\.phase=Failed/);
  const other = await print(t, { ...PLAN, pvcs: [PLAN.pvcs[2], pvc('zoo/new', 'root')] }, ...CREATE);
  const ofDb = (all: readonly Json[]) =>
    all
      .filter(({ metadata }) => metadata.namespace === 'lab')
      .map(({ kind, metadata: { name }, spec, data }) => ({ kind, name, spec, data }));
  t.strictSame(
    ofDb(other.objects),
    ofDb(objects),
    'whatever else the plan holds: a template of pods cannot be changed',
  );
  const again = await print(t, PLAN, ...CREATE);
  t.equal(again.text, text, 'and the same each time');
});

test('queue, placement and the time that Jobs are kept', async (t) => {
  const flags = [
    '--queue=restores',
    '--priority-class=high',
    '--node-selector=topology.kubernetes.io/zone=a',
    '--node-selector=disk=ssd',
    '--tolerations=backup=yes:NoSchedule',
    '--tolerations=slow:PreferNoSchedule',
    '--tolerations=any',
    '--ttl=3600',
  ];
  const { objects, text } = await print(t, PLAN, ...CREATE, ...flags);
  t.strictSame(findApiFlaws(objects), []);
  const jobs = objects.filter(({ kind }) => kind === 'Job');
  t.equal(jobs.length, 3);
  t.strictSame(findQueueFlaws(jobs), []);
  t.not(findQueueFlaws((await print(t, PLAN, ...CREATE)).objects.filter(({ kind }) => kind === 'Job')).length, 0);
  for (const { metadata, spec } of jobs) {
    t.equal(metadata.labels['kueue.x-k8s.io/queue-name'], 'restores');
    t.match(spec, { suspend: true, ttlSecondsAfterFinished: 3600 });
    t.match(spec.template.spec, {
      priorityClassName: 'high',
      nodeSelector: { 'topology.kubernetes.io/zone': 'a', disk: 'ssd' },
      tolerations: [
        { key: 'backup', operator: 'Equal', value: 'yes', effect: 'NoSchedule' },
        { key: 'slow', operator: 'Exists', effect: 'PreferNoSchedule' },
        { key: 'any', operator: 'Exists' },
      ],
    });
  }
  t.match(text, /The LocalQueue restores must already exist in each of the 2 namespaces\./);
});

test('everything that is in doubt is refused, all of it at once', async (t) => {
  const { size: _, ...unsized } = pvc('shop/web', 'swap');
  const pvcs = [
    pvc('shop/web', 'root'),
    pvc('shop/web', 'copy', { claimName: 'web-root', size: '11Gi' }),
    unsized,
    pvc('shop/web', 'log', { size: 0 }),
    pvc('Shop/db', 'root', { target: '/target/disk.img' }),
    pvc('lab/Bad_VM', 'root', { claimName: 'x' }),
  ];
  const flags = [...CREATE, '--storage-class=nope=fast', '--target-pvc=gone=x'];
  t.match(await refused(t, { ...PLAN, pvcs }, ...flags), [
    { code: 'USAGE', message: '--target-pvc gone=…: the plan has no PVC gone' },
    { code: 'USAGE', message: '--storage-class nope=…: the plan has no disk nope' },
    { pvc: 'Shop/db/root', code: 'PLAN_INVALID', message: 'invalid namespace name "Shop"' },
    { pvc: 'lab/Bad_VM/root', code: 'PLAN_INVALID', message: 'invalid VM name "Bad_VM"' },
    { pvc: 'shop/web/swap', code: 'PLAN_INVALID', message: /no size/ },
    { pvc: 'shop/web/log', code: 'PLAN_INVALID', message: /no size/ },
    { pvc: 'Shop/db/root', code: 'PLAN_INVALID', message: /is a file, but --create-pvcs creates block volumes/ },
    {
      pvc: 'shop/web/copy',
      code: 'PLAN_INVALID',
      message:
        'shop/web/root and shop/web/copy have the same PVC web-root in namespace shop, with two sizes (10737418240 and 11811160064 bytes)',
      hint: 'give one of them another PVC: --target-pvc shop/web/copy=PVC',
    },
  ]);
  const together = { ...PLAN, pvcs: [pvc('a/web', 'root'), pvc('b/web', 'root')] };
  t.match(await refused(t, together, ...CREATE, '--namespace=one'), [
    { message: /have the same PVC web-root in namespace one/ },
  ]);
  t.match(await refused(t, PLAN, '--strategy=stream'), [
    { message: /placeholder/ },
    { message: /placeholder/ },
    { message: /placeholder/ },
  ]);
});

test('flags that Kubernetes would refuse are refused', async (t) => {
  const cases = [
    ['--storage-class=fast'],
    ['--access-mode=ReadWriteMany'],
    [...CREATE, '--storage-class='],
    [...CREATE, '--storage-class=root='],
    [...CREATE, '--storage-class==fast'],
    [...CREATE, '--access-mode=ReadOnlyMany'],
    [...CREATE, '--queue=a.b'],
    [...CREATE, '--namespace=a.b'],
    [...CREATE, '--namespace=Shop'],
    [...CREATE, `--queue=${'q'.repeat(64)}`],
    [...CREATE, '--node-selector=zone'],
    [...CREATE, '--node-selector=a b=c'],
    [...CREATE, '--tolerations=a=b:Never'],
    [...CREATE, '--tolerations==b'],
    [...CREATE, '--ttl=-1'],
  ];
  for (const flags of cases) {
    t.match(await refused(t, PLAN, ...flags), [{ code: 'USAGE' }], flags.join(' '));
  }
});

test('a scrub is a CronJob that reads the source of the plan and has no target', async (t) => {
  const s3 = {
    bucket: 'b',
    prefix: 'p',
    endpoint: 'https://s3',
    region: 'r',
    forcePathStyle: true,
    caFile: '/x/ca.pem',
  };
  const plan = { ...PLAN, source: { s3 } };
  const flags = [
    '--scrub= 0  3 * * 0',
    '--secret=creds',
    '--namespace=backups',
    '--max-rate=50Mi',
    '--priority-class=low',
  ];
  const { objects } = await print(t, plan, ...flags);
  t.strictSame(findApiFlaws(objects), []);
  t.equal(objects.length, 1);
  const [{ kind, metadata, spec }] = objects as [Json];
  t.equal(kind, 'CronJob');
  t.match(metadata.name, /^kubevirt-datamover-scrub-[0-9a-f]{8}$/);
  t.match(spec, { schedule: '0 3 * * 0', concurrencyPolicy: 'Forbid' });
  const pod = spec.jobTemplate.spec.template.spec;
  t.match(pod, {
    restartPolicy: 'Never',
    priorityClassName: 'low',
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true },
    containers: [{ securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } } }],
  });
  t.strictSame(
    pod.volumes.map(({ name }: Json) => name),
    ['credentials', 'runtime'],
    'no plan, no PVC',
  );
  t.strictSame(pod.containers[0].args, [
    'verify',
    '--source=s3://b/p',
    '--endpoint=https://s3',
    '--region=r',
    '--credentials-file=/credentials/cloud',
    '--ca-file=/credentials/ca.pem',
    '--path-style',
    '--latest',
    '--data',
    `--max-rate=${50 * 2 ** 20}`,
  ]);
  const again = await print(t, { ...plan, pvcs: PLAN.pvcs.slice(0, 1) }, ...flags);
  t.strictSame(again.objects, objects, 'whatever the plan restores');
  for (const wrong of [
    ['--scrub=0 3 * *'],
    ['--scrub=@often'],
    ['--scrub=@weekly', '--create-pvcs'],
    ['--scrub=@weekly', '--queue=q'],
    ['--max-rate=1Mi'],
  ]) {
    t.match(await refused(t, PLAN, ...wrong), [{ code: 'USAGE' }], wrong.join(' '));
  }
});

test('a scrub of a container of Azure', async (t) => {
  const azure = { account: 'acct', container: 'backups', prefix: 'p', sasTokenFile: '/x/sas', caFile: '/x/ca.pem' };
  const { objects } = await print(t, { ...PLAN, source: { azure } }, '--scrub=@weekly', '--secret=creds');
  t.strictSame(findApiFlaws(objects), []);
  const pod = objects[0]?.spec.jobTemplate.spec.template.spec;
  t.match(pod.volumes[0].secret.items, [{ key: 'sas' }, { key: 'ca.pem' }]);
  t.strictSame(pod.containers[0].args, [
    'verify',
    '--source=azure://acct/backups/p',
    '--sas-token-file=/credentials/sas',
    '--ca-file=/credentials/ca.pem',
    '--latest',
    '--data',
  ]);
  const identity = await print(
    t,
    { ...PLAN, source: { azure: { account: 'acct', container: 'backups', cloud: 'AzureChinaCloud' } } },
    '--scrub=@weekly',
    '--service-account=scrubber',
  );
  const [scrub] = identity.objects as [Json];
  const { metadata, spec } = scrub.spec.jobTemplate.spec.template;
  t.equal(metadata.labels['azure.workload.identity/use'], 'true');
  t.equal(spec.containers[0].args[1], '--source=https://acct.blob.core.chinacloudapi.cn/backups');
  t.not(scrub.metadata.name, objects[0]?.metadata.name, 'another container, another object');
  t.match(await refused(t, { ...PLAN, source: { directory: '/bucket' } }, '--scrub=@weekly'), [
    { code: 'PLAN_INVALID', message: /the directory \/bucket, which pods cannot access/ },
  ]);
});

test('arguments reach the program as they are, whatever Kubernetes would make of them', async (t) => {
  const names = ['$(PATH)', '$$x', 'a$'];
  const plan = { ...PLAN, pvcs: names.map((name, index) => pvc('shop/web', name, { claimName: `c-${index}` })) };
  const { objects } = await print(t, plan, ...CREATE);
  t.strictSame(
    objects.filter(({ kind }) => kind === 'Job').map(({ spec }) => spec.template.spec.containers[0].args[2]),
    ['--pvc=$$(PATH)', '--pvc=$$$$x', '--pvc=a$$'],
  );
});

test('one VM: its names count where objects are made for it', async (t) => {
  const one = (vm: string, target: string) => ({ ...PLAN, pvcs: [pvc(vm, 'root', { target, claimName: 'x' })] });
  t.match(await refused(t, one('lab/Bad_VM', '/dev/a'), ...CREATE), [{ message: 'invalid VM name "Bad_VM"' }]);
  t.match(await refused(t, one('Lab/vm', '/dev/a'), ...CREATE), [{ message: 'invalid namespace name "Lab"' }]);
  const { objects } = await print(t, one('lab/Bad_VM', '/dev/a'), '--strategy=stream', '--namespace=lab');
  t.equal(objects.length, 2, 'into a PVC that exists it is restored');
  const long = `${'a'.repeat(63)}.`.repeat(4).slice(0, 253);
  const { objects: longest } = await print(
    t,
    { ...PLAN, pvcs: [pvc(`${'n'.repeat(63)}/${long}`, 'root', { claimName: long })] },
    ...CREATE,
  );
  t.strictSame(findApiFlaws(longest), []);
});

test('names are unique, DNS-safe and short, whatever VMs and disks are called', async (t) => {
  const options: ManifestOptions = {
    image: 'i',
    scratch: { kind: 'ephemeral' },
    strategy: 'stream',
    force: false,
    runAsRoot: false,
    claims: new Map(),
    createPvcs: { storageClasses: new Map(), accessMode: 'ReadWriteOnce' },
    scheduling: { queue: 'q' },
  };
  const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
  const vm = fc.tuple(label, fc.array(label, { minLength: 1, maxLength: 3 })).map(([a, b]) => `${a}/${b.join('.')}`);
  const disk = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 80 })
    .filter((name) => !/[/\p{Cc}]|^\.\.?$/u.test(name));
  const pvcs = fc.uniqueArray(fc.tuple(vm, disk), { minLength: 1, maxLength: 12, selector: (one) => one.join('/') });
  const property = fc.property(pvcs, (chosen) => {
    const plan = parsePlan(
      JSON.stringify({
        ...PLAN,
        pvcs: chosen.map(([of, name], index) => pvc(of, name, { claimName: `claim-${index}`, chain: [CHAIN_OF_ONE] })),
      }),
      { where: 'plan', folder: '/' },
    );
    const { objects } = buildManifest(plan, options);
    const names = objects.map(({ kind, metadata }) => `${kind}/${metadata?.namespace}/${metadata?.name}`);
    const jobs = objects.filter(({ kind }) => kind === 'Job');
    return (
      new Set(names).size === names.length &&
      jobs.length === chosen.length &&
      jobs.every(({ metadata }) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(metadata?.name ?? '')) &&
      objects.every(({ metadata }) =>
        Object.values(metadata?.labels ?? {}).every((text) => /^[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/.test(text)),
      )
    );
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 150 }));
});

const CHAIN_OF_ONE = { checkpoint: 'cp-1', type: 'full', object: 'checkpoints/a/b/c/d.qcow2', size: 1 };
