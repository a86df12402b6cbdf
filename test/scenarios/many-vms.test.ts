// A plan of several VMs, restored in one run: every PVC is named namespace/vm/disk, in results, logs, metrics and on a second run.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { difference } from '../helpers/backup.ts';
import { makeFleet } from '../helpers/fleet.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { tempFolder } from '../helpers/tmp.ts';

test('two VMs with disks of the same names', async (t) => {
  if (!requires(t, 'qemu-img', 'qemu-io', 'setpriv', 'cmp')) return;
  const fleet = await makeFleet(t, 2, [{ disks: { root: 'AB', data: 'C' } }, { disks: { root: 'X-', data: '-' } }]);
  const folder = tempFolder(t);
  const names = ['team-0/vm-0/root', 'team-0/vm-0/data', 'team-0/vm-1/root', 'team-0/vm-1/data'];
  const target = (name: string): string => join(folder, `${name.replaceAll('/', '-')}.img`);
  const pvcs = names.map((name) => `--pvc=${name}=${target(name)}`);
  const planned = await sharedCli(['plan', `--source=${fleet.folder}`, '--backup=b2', ...pvcs]);
  t.equal(planned.exitCode, 0, planned.stderr);
  const plan = join(folder, 'plan.yaml');
  writeFileSync(plan, planned.stdout);
  const json = ['--output=json', '--log-format=json'];
  const restore = ['restore', plan, `--scratch=${join(folder, 'scratch')}`, ...json];

  const checked = await sharedCli(['verify', plan, ...json]);
  t.strictSame(
    JSON.parse(checked.stdout).pvcs.map((pvc: { name: string; verdict: string }) => [pvc.name, pvc.verdict]),
    names.map((name) => [name, 'ok']),
  );

  const one = await sharedCli([...restore, '--pvc=team-0/vm-1/root']);
  t.equal(one.exitCode, 0, one.stderr);
  t.match(one.stderr, /"pvc":"team-0\/vm-1\/root"/);
  t.match(JSON.parse(one.stdout).pvcs, [{ name: 'team-0/vm-1/root', state: 'restored' }]);

  const unknown = await sharedCli([...restore, '--pvc=team-0/vm-1/rot']);
  t.match(JSON.parse(unknown.stdout).error, { code: 'USAGE', hint: 'did you mean --pvc team-0/vm-1/root?' });

  const all = await sharedCli([...restore, '--force', '--verify=compare', '--strategy=stream']);
  t.equal(all.exitCode, 0, all.stderr);
  t.strictSame(
    JSON.parse(all.stdout).pvcs.map((pvc: { name: string; state: string; verified: boolean }) => [
      pvc.name,
      pvc.state,
      pvc.verified,
    ]),
    names.map((name) => [name, 'restored', true]),
  );
  for (const name of names) {
    const disk = name.split('/').at(-1) ?? '';
    t.equal(await difference(target(name), fleet.template.truth(2, disk)), undefined, name);
  }
});
