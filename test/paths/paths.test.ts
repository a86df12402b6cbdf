// Which paths conflict, on real files, links, descriptors, mounts and loop devices; scenarios/written-paths.test.ts has the program.
import { execFileSync } from 'node:child_process';
import { closeSync, linkSync, mkdirSync, openSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { Paths } from '../../src/paths/paths.ts';
import { pathOfObject, pathsOfSource } from '../../src/paths/source-paths.ts';
import type { WrittenKind } from '../../src/paths/uses.ts';
import type { PlanSource } from '../../src/plan/plan.ts';
import { MiB } from '../../src/units.ts';
import { attachLoop, detachLoop, loopDevice } from '../helpers/loop-device.ts';
import { requires } from '../helpers/requires.ts';
import { SMALL_DISK_TOOLS, smallDisk } from '../helpers/small-disk.ts';
import { tempFolder } from '../helpers/tmp.ts';

/** The codes and messages for what is written, against a plan and a source that hold one object. */
function setUp(t: Test) {
  const folder = tempFolder(t);
  const at = (...names: string[]): string => join(folder, ...names);
  mkdirSync(at('bucket', 'checkpoints'), { recursive: true });
  writeFileSync(at('bucket', 'checkpoints', 'layer'), 'layer'.repeat(1000));
  writeFileSync(at('plan.yaml'), 'plan');
  const source: PlanSource = { kind: 'directory', directory: at('bucket') };
  const problemsOf = async (...written: (readonly [WrittenKind, string])[]) => {
    const paths = new Paths();
    paths.reads({ what: 'plan', path: at('plan.yaml') });
    paths.reads(...pathsOfSource(source, {}), ...pathOfObject(source, 'checkpoints/layer'));
    for (const [kind, path] of written) {
      paths.writes({ kind, path, tree: kind === 'work directory', ...(kind === 'target' ? { pvc: path } : {}) });
    }
    return await paths.problems();
  };
  return { folder, at, problemsOf };
}

test('each kind has its code, both paths and a hint', async (t) => {
  const { at, problemsOf } = setUp(t);
  const layer = at('bucket', 'checkpoints', 'layer');
  for (const [kind, code] of [
    ['target', 'PLAN_INVALID'],
    ['work directory', 'SCRATCH_UNUSABLE'],
    ['socket', 'USAGE'],
    ['report', 'USAGE'],
    ['termination log', 'USAGE'],
    ['output', 'USAGE'],
  ] as const) {
    for (const [path, other] of [
      [layer, `source object ${layer}`],
      [at('plan.yaml'), `plan ${at('plan.yaml')}`],
    ] as const) {
      const problems = await problemsOf([kind, path]);
      t.match(problems, [{ code, message: `${kind} ${path} and ${other} are the same file`, hint: /./ }]);
      t.equal(problems.length, 1, 'what is an object is not reported for the source too');
    }
    const inside = await problemsOf([kind, at('bucket', 'new')]);
    if (kind === 'output') t.strictSame(inside, [], 'a listing beside a backup');
    else
      t.match(inside, [{ code, message: `${kind} ${at('bucket', 'new')} is inside source directory ${at('bucket')}` }]);
    t.strictSame(await problemsOf([kind, at('elsewhere')]), []);
  }
});

test('names, links, climbing paths and descriptors of one file', async (t) => {
  const { at, problemsOf } = setUp(t);
  const layer = at('bucket', 'checkpoints', 'layer');
  linkSync(layer, at('hard'));
  symlinkSync(layer, at('soft'));
  symlinkSync(at('bucket'), at('soft-bucket'));
  const fd = openSync(layer, 'r');
  t.teardown(() => closeSync(fd));
  for (const path of [
    at('hard'),
    at('soft'),
    at('soft-bucket', 'checkpoints', 'layer'),
    at('soft-bucket', 'new', 'deeper'),
    `${at('bucket')}/checkpoints/../checkpoints/layer`,
    `/proc/self/fd/${fd}`,
    `/proc/${process.pid}/fd/${fd}`,
  ]) {
    t.match(await problemsOf(['target', path]), [{ code: 'PLAN_INVALID' }], path);
  }
  rmSync(at('hard'));
  writeFileSync(at('hard'), 'layer'.repeat(1000));
  t.strictSame(await problemsOf(['target', at('hard')]), [], 'equal content is no conflict');
});

test('of two that are written the later kind is the one to change', async (t) => {
  const { at, problemsOf } = setUp(t);
  const path = at('one');
  for (const exists of [false, true]) {
    if (exists) writeFileSync(path, '');
    t.match(await problemsOf(['report', path], ['target', path]), [
      { code: 'USAGE', message: `report ${path} and target ${path} are the same file` },
    ]);
    t.match(await problemsOf(['termination log', path], ['report', path]), [{ message: /^termination log/ }]);
  }
  linkSync(path, at('two'));
  t.match(await problemsOf(['target', path], ['target', at('two')]), [{ code: 'PLAN_INVALID', pvc: at('two') }]);
  t.match(await problemsOf(['work directory', at('work')], ['target', at('work', 'deep', 'disk.raw')]), [
    { code: 'PLAN_INVALID', message: /is inside work directory/ },
  ]);
  t.match(await problemsOf(['work directory', at('.')]), [
    { code: 'SCRATCH_UNUSABLE', message: /contains plan/ },
    { code: 'SCRATCH_UNUSABLE', message: /contains source directory/ },
  ]);
  t.strictSame(
    await problemsOf(['target', at('Disk')], ['target', at('disk')]),
    [],
    'upper and lower case are two files',
  );
  t.strictSame(await problemsOf(['output', '/dev/null'], ['output', '/dev/null']), []);
});

test('on a file system without case two names are one', async (t) => {
  if (!requires(t, 'root', 'mkntfs', 'lowntfs-3g', '/dev/fuse')) return;
  const { at, problemsOf } = setUp(t);
  writeFileSync(at('image'), '');
  truncateSync(at('image'), 32 * MiB);
  mkdirSync(at('mnt'));
  execFileSync('mkntfs', ['-F', '-q', '-Q', at('image')], { stdio: 'ignore' });
  execFileSync('lowntfs-3g', ['-o', 'ignore_case', at('image'), at('mnt')]);
  t.teardown(() => execFileSync('umount', [at('mnt')]));
  const both = () => problemsOf(['target', at('mnt', 'Disk.raw')], ['report', at('mnt', 'disk.RAW')]);
  t.match(await both(), [{ code: 'USAGE' }], 'in an empty root');
  mkdirSync(at('mnt', 'empty'));
  t.match(await both(), [{ code: 'USAGE' }], 'asked of what is there');
  const deeper = [at('mnt', 'empty', 'a.raw'), at('mnt', 'empty', 'A.raw')] as const;
  t.match(await problemsOf(['target', deeper[0]], ['target', deeper[1]]), [{ code: 'PLAN_INVALID' }]);
  writeFileSync(deeper[0], '');
  t.match(await problemsOf(['target', deeper[0]], ['target', deeper[1]]), [{ code: 'PLAN_INVALID' }]);
  t.strictSame(await problemsOf(['target', deeper[0]], ['target', at('mnt', 'empty', 'b.raw')]), []);
});

test('bind mounts of a directory, of one inside it, of a file', async (t) => {
  if (!requires(t, 'root', 'mount', 'umount')) return;
  const { at, problemsOf } = setUp(t);
  mkdirSync(at('all'));
  mkdirSync(at('part'));
  writeFileSync(at('one'), '');
  writeFileSync(at('bucket', 'checkpoints', 'not in the plan'), '');
  for (const [from, to, path] of [
    [at('bucket'), at('all'), at('all', 'new')],
    [at('bucket', 'checkpoints'), at('part'), at('part', 'new')],
    [at('bucket', 'checkpoints', 'not in the plan'), at('one'), at('one')],
  ] as const) {
    t.strictSame(await problemsOf(['target', path]), []);
    execFileSync('mount', ['--bind', from, to]);
    try {
      t.match(await problemsOf(['target', path]), [{ message: /is inside source directory/ }], path);
    } finally {
      execFileSync('umount', [to]);
    }
  }
});

test('devices, and files behind loop devices', async (t) => {
  if (!requires(t, ...SMALL_DISK_TOOLS)) return;
  const { at, problemsOf } = setUp(t);
  const device = loopDevice(t, { size: MiB });
  t.strictSame(await problemsOf(['target', device.path]), []);
  symlinkSync(device.path, at('device'));
  t.match(await problemsOf(['target', device.path], ['target', at('device')]), [
    { code: 'PLAN_INVALID', message: /are the same device/ },
  ]);
  t.match(await problemsOf(['target', device.path], ['output', device.path]), [{ code: 'USAGE' }]);
  t.match(await problemsOf(['target', device.path], ['report', device.file]), [{ code: 'USAGE' }]);
  const second = attachLoop(device.file);
  t.teardown(() => detachLoop(second));
  t.match(await problemsOf(['target', device.path], ['target', second]), [
    { message: /are the same device, or share/ },
  ]);
  const inSource = attachLoop(at('bucket', 'checkpoints', 'layer'));
  t.teardown(() => detachLoop(inSource));
  t.match(await problemsOf(['target', inSource]), [
    { message: /is stored in the file .*layer, which is part of source/ },
  ]);
  const mounted = smallDisk(t, { size: 8 * MiB });
  const [loop = ''] = execFileSync('findmnt', ['-no', 'SOURCE', mounted], { encoding: 'utf8' }).split('\n');
  t.match(await problemsOf(['target', loop], ['work directory', join(mounted, 'work')]), [
    { code: 'TARGET_BUSY', message: /holds the data of work directory/ },
  ]);
  t.match(await problemsOf(['target', join(mounted, '..', 'disk')], ['work directory', join(mounted, 'work')]), [
    { code: 'TARGET_BUSY', message: /holds the data of work directory/ },
  ]);
  t.strictSame(await problemsOf(['target', join(mounted, 'a')], ['target', join(mounted, 'b')]), []);
});

test('the files that a bucket is read with, by plan and by environment', async (t) => {
  const s3 = { kind: 's3', bucket: 'b' } as const;
  const named = { ...s3, credentialsFile: '/c', caFile: '/ca', sseCustomerKeyFile: '/k' };
  t.strictSame(
    pathsOfSource(named, { HOME: '/h', AWS_CONFIG_FILE: '/config', AWS_CA_BUNDLE: '/bundle' }).map(({ path }) => path),
    ['/c', '/ca', '/bundle', '/k'],
  );
  t.strictSame(
    pathsOfSource(s3, { HOME: '/h', AWS_WEB_IDENTITY_TOKEN_FILE: '/token' }).map(({ path }) => path),
    ['/h/.aws/credentials', '/h/.aws/config', '/token'],
  );
  t.strictSame(
    pathsOfSource(s3, { AWS_SHARED_CREDENTIALS_FILE: '/s' }).map(({ path }) => path),
    ['/s'],
  );
});
