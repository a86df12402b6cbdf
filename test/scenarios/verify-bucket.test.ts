// `verify --source`: what a scrub of a bucket finds, without a plan: layers that are deleted, truncated, swapped, damaged.
import { copyFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { Json } from '../helpers/bucket.ts';
import { type Fleet, makeFleet } from '../helpers/fleet.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

const STEPS = [{ disks: { root: 'ABCD', data: 'E' } }, { disks: { root: '-X--', data: '-' } }];
const vm = (number: number) => ({ namespace: 'team-0', name: `vm-${number}` });

interface Verified {
  readonly exitCode: number | null;
  readonly verdicts: ReadonlyMap<string, string>;
  readonly problems: Json[];
  readonly stderr: string;
}

async function verify(folder: string, ...flags: string[]): Promise<Verified> {
  const args = ['verify', `--source=${folder}`, '--output=json', '--log-format=json', ...flags];
  const { exitCode, stdout, stderr } = await sharedCli(args);
  const { pvcs, problems } = JSON.parse(stdout);
  const verdicts = new Map<string, string>(pvcs.map(({ name, verdict }: Json) => [name, verdict]));
  return { exitCode, verdicts, problems, stderr };
}

function brokenOf({ verdicts }: Verified): string[] {
  return [...verdicts].flatMap(([name, verdict]) => (verdict === 'broken' ? [name] : []));
}

test('the verdict on a bucket', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'setpriv')) return;
  const fleet: Fleet = await makeFleet(t, 6, STEPS);

  await t.test('a sound one, by backup, by the newest, by VM, and all of it', async (t) => {
    const latest = await verify(fleet.folder, '--latest');
    t.equal(latest.exitCode, 0, latest.stderr);
    t.equal(latest.verdicts.size, 12);
    t.equal(latest.verdicts.get('team-0/vm-3/data'), 'ok');
    const all = await verify(fleet.folder, '--data');
    t.equal(all.exitCode, 0, all.stderr);
    t.equal(all.verdicts.size, 24);
    t.equal(all.verdicts.get('team-0/vm-3/data@b1'), 'ok');
    const some = await verify(fleet.folder, '--backup=b1', '--vm=team-1/*', '--vm=team-?/*1');
    t.equal(some.exitCode, 3, 'no VM matches the first pattern');
    t.strictSame([...some.verdicts.keys()], ['team-0/vm-1/root', 'team-0/vm-1/data']);
  });

  await t.test('one checkpoint of a VM, and single disks', async (t) => {
    const vmFlags = ['--vm=team-0/vm-2', `--checkpoint=${fleet.template.id(1)}`];
    const first = await verify(fleet.folder, ...vmFlags);
    t.equal(first.exitCode, 0, first.stderr);
    t.strictSame(
      [...first.verdicts],
      [
        ['team-0/vm-2/root', 'ok'],
        ['team-0/vm-2/data', 'ok'],
      ],
    );
    const disk = await verify(fleet.folder, ...vmFlags, '--pvc=data', '--data');
    t.equal(disk.exitCode, 0, disk.stderr);
    t.strictSame([...disk.verdicts], [['team-0/vm-2/data', 'ok']]);
    const some = await verify(fleet.folder, '--latest', '--pvc=team-0/vm-1/root', '--pvc=data');
    t.equal(some.verdicts.size, 7);
    const wrong = await verify(fleet.folder, '--latest', '--pvc=rot');
    t.equal(wrong.exitCode, 3);
    t.match(wrong.problems, [
      { code: 'BACKUP_NOT_FOUND', message: /^disk rot not found in/, hint: 'did you mean --pvc root?' },
    ]);
    const partly = await verify(fleet.folder, '--latest', '--pvc=rot', '--pvc=team-0/vm-1/root');
    t.equal(partly.exitCode, 3);
    t.strictSame([...partly.verdicts], [['team-0/vm-1/root', 'ok']], 'what exists is verified');
  });

  await t.test('text: one table, and the sum', async (t) => {
    const { stdout } = await sharedCli(['verify', `--source=${fleet.folder}`, '--latest', '--vm=team-0/vm-0']);
    t.match(
      stdout,
      /^PVC +VERDICT.*\nteam-0\/vm-0\/root +ok .*\nteam-0\/vm-0\/data +ok .*\n2 ok, 0 suspect, 0 broken\n$/,
    );
  });

  await t.test('flags that do not go together', async (t) => {
    for (const flags of [
      ['verify', '--latest'],
      ['verify', 'plan.yaml', '--source=x'],
      ['verify', '--checkpoint=cp-1'],
      ['verify', '--source=x', '--checkpoint=cp-1'],
      ['verify', '--source=x', '--checkpoint=cp-1', '--vm=team-0/*'],
      ['verify', '--source=x', '--checkpoint=cp-1', '--vm=team-0/vm-1', '--latest'],
      ['verify', '--source=x', '--latest', '--backup=b'],
      ['verify', '--source=x', '--max-rate=1'],
    ]) {
      const { exitCode, stdout } = await sharedCli([...flags, '--output=json']);
      t.equal(exitCode, 2, flags.join(' '));
      t.match(JSON.parse(stdout).error, { code: 'USAGE' });
    }
    const unknown = await sharedCli(['verify', `--source=${fleet.folder}`, '--backup=nope', '--output=json']);
    t.equal(unknown.exitCode, 3);
    t.match(JSON.parse(unknown.stdout).error, { code: 'BACKUP_NOT_FOUND', message: /found: b1, b2/ });
    const args = ['verify', `--source=${fleet.folder}`, '--vm=team-0/vm-1', '--checkpoint=nope', '--output=json'];
    const missing = await sharedCli(args);
    t.equal(missing.exitCode, 3);
    t.match(JSON.parse(missing.stdout).error, { code: 'BACKUP_NOT_FOUND', message: /checkpoint nope not found/ });
  });

  await t.test(
    'layers that are deleted, truncated, swapped, damaged; an index that is lost with its layers',
    async (t) => {
      const bad: Fleet = await makeFleet(t, 7, STEPS);
      rmSync(join(bad.folder, bad.object(vm(0), 1, 'root')));
      truncateSync(bad.own(vm(1), 2, 'root'), 70_000);
      const [a, b] = [bad.own(vm(2), 1, 'root'), bad.own(vm(2), 1, 'data')];
      const aside = join(bad.folder, 'aside');
      renameSync(a, aside);
      copyFileSync(b, a);
      renameSync(aside, b);
      const damaged = bad.own(vm(3), 1, 'data');
      const bytes = readFileSync(damaged);
      // The reference counts of the image's clusters.
      bytes.fill(0xff, 2 * 65_536, 2 * 65_536 + 512);
      writeFileSync(damaged, bytes);
      rmSync(join(bad.folder, 'checkpoints/team-0/vm-4'), { recursive: true });
      const report = join(tempFolder(t), 'report.json');
      const found = await verify(bad.folder, '--latest', '--data', `--report=${report}`);
      t.equal(found.exitCode, 3, 'the first problem decides');
      t.strictSame(brokenOf(found).sort(), [
        'team-0/vm-0/root',
        'team-0/vm-1/root',
        'team-0/vm-2/data',
        'team-0/vm-2/root',
        'team-0/vm-3/data',
        'team-0/vm-4',
      ]);
      for (const name of ['team-0/vm-0/data', 'team-0/vm-5/root', 'team-0/vm-6/data'])
        t.equal(found.verdicts.get(name), 'ok', name);
      const codes = new Map(found.problems.map(({ pvc, code }) => [pvc, code]));
      t.equal(codes.get('team-0/vm-0/root'), 'OBJECT_MISSING');
      t.equal(codes.get('team-0/vm-1/root'), 'SIZE_MISMATCH');
      t.equal(codes.get('team-0/vm-3/data'), 'IMAGE_CORRUPT');
      t.strictSame(JSON.parse(readFileSync(report, 'utf8')).problems, found.problems);
      const old = await verify(bad.folder, '--backup=b1', '--vm=team-0/vm-1');
      t.equal(old.exitCode, 0, 'the older backup does not need the truncated layer');
      const all = await verify(bad.folder, '--vm=team-0/vm-1', '--vm=team-0/vm-0');
      t.strictSame(brokenOf(all).sort(), ['team-0/vm-0/root@b1', 'team-0/vm-0/root@b2', 'team-0/vm-1/root@b2']);
    },
  );

  await t.test('from the S3 server, below a rate', async (t) => {
    if (!requires(t, ...RGW_TOOLS)) return;
    const rgw = await startRgw(t);
    const bucket = await rgw.createBucket();
    await rgw.putFolder(bucket, fleet.folder, 'p/');
    const flags = [`--endpoint=${rgw.endpoint}`, `--region=${rgw.region}`, '--path-style', '--output=json'];
    const args = ['verify', `--source=s3://${bucket}/p`, '--data', '--vm=team-0/vm-1', '--vm=*/vm-0', ...flags];
    const { exitCode, stdout } = await sharedCli([...args, '--max-rate=8Mi'], { env: rgw.env });
    t.equal(exitCode, 0);
    t.match(
      JSON.parse(stdout).pvcs,
      Array.from({ length: 8 }, () => ({ verdict: 'ok' })),
    );
  });
});
