// Every fault of the network and the server between the store of Google Cloud Storage and the translator: recovered with the right bytes, or
// the right code.
import { test } from 'tap';
import type { ErrorCode } from '../../../src/errors.ts';
import { faultContract } from '../../contract/faults.ts';
import { storeContract } from '../../contract/store.ts';
import { gcsBehindPeer } from '../../helpers/gcs-peer.ts';
import type { Fault } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS } from '../../helpers/rgw.ts';

const FINAL: readonly [Fault, ErrorCode][] = [
  [{ kind: 'swap' }, 'OBJECT_CHANGED'],
  [{ kind: 'total', total: 5 }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 416, code: 'InvalidRange' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 412, code: 'PreconditionFailed' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 404, code: 'NoSuchKey' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 404, code: 'NoSuchBucket' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 403, code: 'AccessDenied' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 400, code: 'ResourceIsEncryptedWithCustomerEncryptionKey' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 400, code: 'UserProjectMissing' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 403, page: true }, 'SOURCE_UNREACHABLE'],
  [{ kind: 'status', status: 407, page: true }, 'SOURCE_UNREACHABLE'],
];

faultContract({
  tools: RGW_TOOLS,
  behindPeer: gcsBehindPeer,
  passing: [],
  busy: 'ServiceUnavailable',
  final: FINAL,
  secret: /<|Bearer|ya29/,
});

test('the contract, behind a peer that cuts bodies', async (t) => {
  if (!requires(t, ...RGW_TOOLS)) return;
  await storeContract(t, 'gcs', async (t) => {
    const { gcs, bucket, peer, store } = await gcsBehindPeer(t, {});
    return {
      store,
      put: (key, bytes) => gcs.rgw.put(bucket, key, bytes),
      remove: (key) => gcs.rgw.remove(bucket, key),
      cutBodies: (after) => {
        peer.plan = () => (after === undefined ? undefined : { kind: 'cut', after });
      },
    };
  });
});
