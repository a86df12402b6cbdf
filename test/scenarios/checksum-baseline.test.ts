// `plan --checksums`: the baseline that the format lacks. One changed bit anywhere is found afterwards, and the layer is named.
import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { z } from 'zod';
import { readText } from '../../src/plan/yaml-text.ts';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, type BackupForTest, madeBackup, sha256Of } from '../helpers/backup.ts';
import { seededRandom } from '../helpers/random.ts';
import { requires } from '../helpers/requires.ts';
import { sharedCli } from '../helpers/resident-cli.ts';
import { runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS } from '../helpers/rgw.ts';
import { startCli } from '../helpers/run-cli.ts';
import { fetched, stageOf } from '../helpers/stage.ts';
import { tempFolder } from '../helpers/tmp.ts';

const planSchema = z.object({
  pvcs: z.array(
    z.object({ name: z.string(), chain: z.array(z.looseObject({ object: z.string(), sha256: z.string() })) }),
  ),
});

const DISKS = [
  { name: 'rootdisk', size: 16 * MiB, initial: { bytes: 4 * MiB } },
  { name: 'datadisk', size: 8 * MiB, initial: { bytes: 2 * MiB } },
] as const;

function layersOf(yaml: string): readonly { readonly object: string; readonly sha256: string }[] {
  return planSchema.parse(readText(yaml).data).pvcs.flatMap(({ chain }) => chain);
}

async function drafted(t: Test, made: BackupForTest, flags: readonly string[] = []) {
  const folder = tempFolder(t);
  const targets = DISKS.flatMap(({ name }) => ['--pvc', `${name}=${join(folder, `${name}.raw`)}`]);
  const args = ['plan', '--source', made.bucket, '--vm', `${made.namespace}/${made.vm}`, '--checksums', ...targets];
  const run = await sharedCli([...args, ...flags]);
  const path = join(folder, 'plan.yaml');
  writeFileSync(path, run.stdout);
  return { ...run, path, folder };
}

test('one flipped bit in any layer is found by verify and by restore', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: DISKS, checkpoints: 2 });
  const { path, stdout, exitCode, stderr } = await drafted(t, made);
  t.equal(exitCode, 0, stderr);
  t.match(stdout, /\n#.*--strategy stream +none; it cannot verify the checksums of this plan: add --no-checksums\n/);
  const layers = layersOf(stdout);
  t.equal(layers.length, 4);
  for (const { object, sha256 } of layers) t.equal(sha256, await sha256Of(join(made.bucket, object)), object);
  t.equal((await sharedCli(['verify', path, '--data'])).exitCode, 0);
  const random = seededRandom('a bit');
  const scratch = join(tempFolder(t), 'scratch');
  for (const { object } of layers) {
    const file = join(made.bucket, object);
    const bytes = readFileSync(file);
    // Behind the header, of which the preflight would say more.
    const last = object === layers[0]?.object ? [bytes.length - 1] : [];
    for (const at of [4 * KiB + Math.floor(random() * (bytes.length - 4 * KiB)), ...last]) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(random() * 8));
      writeFileSync(file, damaged);
      const message = new RegExp(`${object.replaceAll('.', '\\.')}: sha256 mismatch`);
      for (const flags of [[], ['--scratch', scratch]]) {
        const verified = await sharedCli(['verify', path, '--data', '--output', 'json', ...flags]);
        t.equal(verified.exitCode, 4, `byte ${at} of ${object}: verify --data ${flags.join(' ')}`);
        t.match(JSON.parse(verified.stdout).error, { code: 'CHECKSUM_MISMATCH', message });
      }
      const restored = await runRestore(path, ['--scratch', scratch, '--force']);
      t.equal(restored.exitCode, 4, `byte ${at} of ${object}: restore`);
      t.match(restored.document.error, { code: 'CHECKSUM_MISMATCH', message });
      writeFileSync(file, bytes);
    }
  }
  const stream = await runRestore(path, ['--strategy', 'stream']);
  t.match(stream.document.error, { code: 'USAGE', message: /cannot verify the sha256 checksums in the plan/ });
  t.equal((await runRestore(path, ['--strategy', 'stream', '--no-checksums', '--force'])).exitCode, 0);
});

test('an interrupted run resumes, and reads what was replaced again', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const { made, rgw, bucket, peer } = await stageOf(t, { disks: DISKS, checkpoints: 2 });
  const sums = join(tempFolder(t), 'sums.jsonl');
  const source = ['--source', `s3://${bucket}`, '--endpoint', peer.endpoint, '--path-style', '--region', 'us-east-1'];
  const args = ['plan', ...source, '--vm', `${made.namespace}/${made.vm}`, '--checksums', '--checksums-file', sums];
  const stuck = Promise.withResolvers<void>();
  peer.plan = ({ path, range }) => {
    if (range === undefined || range.last < 64 * KiB || !path.includes('datadisk')) return undefined;
    stuck.resolve();
    return { kind: 'stall', after: 10 };
  };
  const { child, result } = startCli(args, { env: rgw.env });
  await Promise.race([stuck.promise, result.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
  child.kill('SIGTERM');
  const stopped = await result;
  t.equal(stopped.exitCode, 143, stopped.stderr);
  t.equal(stopped.stdout, '');
  t.equal(statSync(sums).mode & 0o777, 0o600);
  t.equal(readFileSync(sums, 'utf8').trim().split('\n').length, 2, 'the layers of the first disk');
  // As a kill in the middle of a write leaves it.
  writeFileSync(sums, '{"source":"s3://', { flag: 'a' });
  peer.plan = () => undefined;
  const before = fetched(peer);
  const again = await sharedCli(args, { env: rgw.env });
  t.equal(again.exitCode, 0, again.stderr);
  const sizes = made.checkpoints.flatMap(({ layers }) => layers.filter(({ disk }) => disk === 'datadisk'));
  const expected = sizes.reduce((sum, { object }) => sum + statSync(join(made.bucket, object)).size, 0);
  t.ok(fetched(peer) - before < expected + 4 * 64 * KiB, 'the first disk is not read again');
  const layers = layersOf(again.stdout);
  for (const { object, sha256 } of layers) t.equal(sha256, await sha256Of(join(made.bucket, object)), object);
  const bytes = layers.reduce((sum, { object }) => sum + statSync(join(made.bucket, object)).size, 0);
  const started = performance.now();
  const limited = await sharedCli([...args.slice(0, -2), '--max-rate', String(Math.floor(bytes / 2))], {
    env: rgw.env,
  });
  t.ok(performance.now() - started >= 1900, 'half of the bytes in each second');
  t.strictSame(layersOf(limited.stdout), layers);
  const third = fetched(peer);
  t.strictSame(layersOf((await sharedCli(args, { env: rgw.env })).stdout), layers);
  t.ok(fetched(peer) - third < 4 * 64 * KiB, 'nothing but headers');
});

test('a layer that was replaced since is read again; a file of another kind is not touched', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS)) return;
  const made = await madeBackup(t, { disks: DISKS, checkpoints: 1 });
  const sums = join(tempFolder(t), 'sums.jsonl');
  const first = await drafted(t, made, ['--checksums-file', sums]);
  const [layer = { object: '', sha256: '' }] = layersOf(first.stdout);
  const file = join(made.bucket, layer.object);
  const bytes = readFileSync(file);
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
  writeFileSync(file, bytes);
  utimesSync(file, 1, 1);
  const second = await drafted(t, made, ['--checksums-file', sums]);
  t.equal(layersOf(second.stdout)[0]?.sha256, await sha256Of(file));
  t.not(layersOf(second.stdout)[0]?.sha256, layer.sha256);
  const notes = join(tempFolder(t), 'notes');
  for (const text of ['my notes\n', 'my notes', '{"a":1}\n']) {
    writeFileSync(notes, text);
    const refused = await drafted(t, made, ['--checksums-file', notes]);
    t.equal(refused.exitCode, 2, refused.stderr);
    t.match(refused.stderr, /USAGE: --checksums-file .*notes: not a file of checksums/);
    t.equal(readFileSync(notes, 'utf8'), text);
  }
  const inside = await drafted(t, made, ['--checksums-file', join(made.bucket, 'sums')]);
  t.equal(inside.exitCode, 2, inside.stderr);
  t.notOk(existsSync(join(made.bucket, 'sums')));
  const full = await drafted(t, made, ['--checksums-file', '/dev/full']);
  t.equal(full.exitCode, 9, full.stderr);
  t.match(full.stderr, /OUTPUT_FAILED/);
  const alone = await sharedCli(['plan', '--source', made.bucket, '--vm', 'a/b', '--checksums-file', sums]);
  t.equal(alone.exitCode, 2);
  t.match(alone.stderr, /--checksums-file requires --checksums/);
});
