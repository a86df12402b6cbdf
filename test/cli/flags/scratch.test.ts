// Where scratch lies: the flag, else the plan, else the environment, else /scratch. Each place named is a file, and which
// of them was chosen is in the refusal.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { command } from '../../helpers/command.ts';
import { requires } from '../../helpers/requires.ts';
import { sharedCli } from '../../helpers/resident-cli.ts';
import { cleanEnvironment, programPath } from '../../helpers/run-cli.ts';
import { tempFolder } from '../../helpers/tmp.ts';

const BUCKET = fileURLToPath(new URL('../../../fixtures/bucket', import.meta.url));

interface Places {
  readonly folder: string;
  readonly flag: string;
  readonly plan: string;
  readonly environment: string;
}

function makePlaces(t: Test): Places {
  const folder = tempFolder(t);
  const file = (name: string): string => {
    writeFileSync(join(folder, name), '');
    return join(folder, name);
  };
  return { folder, flag: file('by-flag'), plan: file('by-plan'), environment: file('by-environment') };
}

/** A plan of one disk that names this scratch, or none. */
function writePlan({ folder }: Places, scratch?: string): string {
  const path = join(folder, `plan-${crypto.randomUUID()}.json`);
  const document = {
    version: 1,
    source: { directory: BUCKET },
    ...(scratch === undefined ? {} : { scratch: { path: scratch } }),
    backup: 'backup-001',
    vm: 'demo/web',
    pvcs: [{ name: 'datadisk', target: join(folder, 'data.raw') }],
  };
  writeFileSync(path, JSON.stringify(document));
  return path;
}

test('restore: the flag wins over the plan, the plan over the environment', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv')) return;
  const places = makePlaces(t);
  const env = { KUBEVIRT_DM_SCRATCH_PATH: places.environment };
  const cases = [
    { chosen: places.flag, scratch: places.plan, args: ['--scratch', places.flag] },
    { chosen: places.flag, scratch: undefined, args: ['--scratch', places.flag] },
    { chosen: places.plan, scratch: places.plan, args: [] },
    { chosen: places.environment, scratch: undefined, args: [] },
  ];
  for (const { chosen, scratch, args } of cases) {
    const { exitCode, stderr } = await sharedCli(['restore', writePlan(places, scratch), ...args], { env });
    t.equal(exitCode, 5);
    t.match(stderr, `error SCRATCH_UNUSABLE: scratch ${chosen} is not a directory`);
  }
});

test('a variable with a line break, and one in quotes', async (t) => {
  if (!requires(t, 'qemu-img', 'setpriv')) return;
  const places = makePlaces(t);
  const run = (scratch: string) =>
    sharedCli(['restore', writePlan(places)], { env: { KUBEVIRT_DM_SCRATCH_PATH: scratch }, cwd: places.folder });
  t.match(
    (await run(`${places.environment}\r\n`)).stderr,
    `error SCRATCH_UNUSABLE: scratch ${places.environment} is not a directory`,
  );
  t.match((await run(`"${places.environment}"`)).stderr, 'error USAGE: KUBEVIRT_DM_SCRATCH_PATH has a value in quotes');
});

/** Every top folder of this machine but /scratch, in a root of its own; "$1" says what /scratch is there. */
const ROOT_SCRIPT = `
set -eu
root=$1; kind=$2; shift 2
mount -t tmpfs tmpfs "$root"
for each in /*; do
  name=\${each#/}
  if [ "$name" = scratch ]; then continue; fi
  if [ -L "$each" ]; then cp -a "$each" "$root/$name"; continue; fi
  if [ -d "$each" ]; then mkdir "$root/$name"; else : >"$root/$name"; fi
  mount --rbind "$each" "$root/$name"
done
if [ "$kind" = file ]; then : >"$root/scratch"; fi
exec chroot "$root" "$@"
`;

test('restore: with nothing named it is /scratch where that is there, else USAGE', async (t) => {
  if (!requires(t, 'root', 'unshare', 'chroot', 'qemu-img', 'setpriv')) return;
  const places = makePlaces(t);
  const plan = writePlan(places);
  // An empty variable counts as unset.
  const env = cleanEnvironment({ KUBEVIRT_DM_SCRATCH_PATH: '' });
  const restore = async (kind: 'file' | 'absent', ...args: string[]) => {
    const words = [process.execPath, programPath(), 'restore', plan, ...args];
    const inRoot = ['--mount', '--propagation=private', 'sh', '-c', ROOT_SCRIPT, 'sh', tempFolder(t), kind];
    return await command('unshare', [...inRoot, 'env', '-u', 'NODE_OPTIONS', ...words], { env });
  };
  const there = await restore('file');
  t.equal(there.status, 5, there.stderr);
  t.match(there.stderr, 'error SCRATCH_UNUSABLE: scratch /scratch is not a directory');
  const flag = await restore('file', '--scratch', places.flag);
  t.match(flag.stderr, `error SCRATCH_UNUSABLE: scratch ${places.flag} is not a directory`);
  const absent = await restore('absent');
  t.equal(absent.status, 2);
  t.match(absent.stderr, /error USAGE: .* needs a scratch directory, but none is set\nhint: add --scratch DIR/);
});
