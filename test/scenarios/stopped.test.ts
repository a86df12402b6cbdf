// The program itself is stopped in the middle of a restore, as by SIGSTOP or a frozen container: the source was not silent meanwhile.
import { join } from 'node:path';
import { test } from 'tap';
import { KiB, MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, madeBackup, planFor, truthOf, uploadBucket } from '../helpers/backup.ts';
import { startPeer } from '../helpers/peer.ts';
import { requires } from '../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { stopFor } from '../helpers/stopped.ts';
import { watchRestore } from '../helpers/watched-restore.ts';

test('a restore that is stopped for longer than its read timeout', async (t) => {
  if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
  const rgw = await startRgw(t);
  // Small clusters: a read of tables is shorter than one of data.
  const disk = { name: 'rootdisk', size: 4 * MiB, initial: { bytes: 4 * MiB }, clusterSize: 64 * KiB };
  const made = await madeBackup(t, { disks: [disk], checkpoints: 2 });
  const bucket = await uploadBucket(rgw, made);
  for (const strategy of ['staged', 'stream']) {
    await t.test(strategy, async (t) => {
      const asked = Promise.withResolvers<void>();
      const stopped = Promise.withResolvers<void>();
      const peer = await startPeer({ upstream: rgw.endpoint }, t);
      peer.plan = ({ range }) => {
        if (range === undefined || range.last - range.first < 256 * KiB) return undefined;
        asked.resolve();
        return { kind: 'hold', until: stopped.promise };
      };
      const target = join(made.folder, `${strategy}.raw`);
      const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
      const plan = await planFor(made, 'backup-002', { rootdisk: target }, { s3 });
      const env = { ...rgw.env, KUBEVIRT_DM_READ_TIMEOUT_SECONDS: '1' };
      const run = watchRestore(t, plan, ['--strategy', strategy], { env });
      await asked.promise;
      await stopFor(run.child, stopped.resolve);
      const { exitCode, document } = await run.end;
      t.equal(exitCode, 0, document?.error?.message ?? 'ends well');
      t.strictSame(
        run.lines.filter(({ event }) => event === 'retry'),
        [],
        'what arrived meanwhile is taken',
      );
      t.equal(await difference(target, truthOf(made, 'backup-002', 'rootdisk')), undefined, 'identical');
    });
  }
});
