// A large object comes over all connections at a time: a source that gives each of them so much a second would be as slow as one.
import { join } from 'node:path';
import { test } from 'tap';
import { MiB } from '../../src/units.ts';
import { BACKUP_TOOLS, difference, madeBackup, planFor, truthOf, uploadBucket } from '../helpers/backup.ts';
import { startPacedPeer } from '../helpers/paced-peer.ts';
import { requires } from '../helpers/requires.ts';
import { runRestore } from '../helpers/restore.ts';
import { RGW_TOOLS, startRgw } from '../helpers/rgw.ts';
import { tempFolder } from '../helpers/tmp.ts';

const CONNECTIONS = 4;

for (const strategy of ['staged', 'stream']) {
  test(`${strategy}: the parts of the largest object are spread over the connections`, async (t) => {
    if (!requires(t, ...BACKUP_TOOLS, ...RGW_TOOLS)) return;
    const initial = { bytes: 24 * MiB, pattern: 'runs' } as const;
    const disk = { name: 'rootdisk', size: 32 * MiB, initial, changes: { bytes: MiB } };
    const made = await madeBackup(t, { like: 'other', disks: [disk], checkpoints: 4 });
    const rgw = await startRgw(t);
    const bucket = await uploadBucket(rgw, made);
    const peer = await startPacedPeer(t, rgw.endpoint);
    const backup = made.checkpoints.at(-1)?.backup ?? '';
    const target = join(tempFolder(t), 'disk.raw');
    const s3 = { rgw: { ...rgw, endpoint: peer.endpoint }, bucket };
    const scratch = join(tempFolder(t), 'scratch');
    const plan = await planFor(made, backup, { rootdisk: target }, { s3, scratch });
    const flags = ['--strategy', strategy, '--concurrency', `${CONNECTIONS}`, '--part-size', '1Mi'];
    const { exitCode, stderr } = await runRestore(plan, flags, rgw.env);
    t.equal(exitCode, 0, stderr);
    t.equal(await difference(target, truthOf(made, backup, 'rootdisk')), undefined);
    // A read of tables that qemu waits for takes a place beyond those.
    t.ok(peer.mostAtATime >= CONNECTIONS, `${peer.mostAtATime} at a time`);
    const [full] = made.checkpoints[0]?.layers ?? [];
    const shares = peer.bytesByConnection(full?.object.split('/').at(-1) ?? '');
    const total = shares.reduce((sum, bytes) => sum + bytes, 0);
    t.ok(shares.length >= CONNECTIONS, `${shares.length} connections`);
    t.ok(Math.max(...shares) < total / 2, `the busiest has ${Math.max(...shares)} of ${total} bytes: ${shares}`);
  });
}
