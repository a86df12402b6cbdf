// Every fault of the network and the server between the Azure store and a real server: recovered with the right bytes, or the right code.
import { test } from 'tap';
import type { ErrorCode } from '../../../src/errors.ts';
import { faultContract } from '../../contract/faults.ts';
import { storeContract } from '../../contract/store.ts';
import { azureBehindPeer } from '../../helpers/azure-peer.ts';
import { AZURITE_TOOLS } from '../../helpers/azurite.ts';
import { OBJECT, SIZE } from '../../helpers/fault-lists.ts';
import type { Fault } from '../../helpers/peer.ts';
import { requires } from '../../helpers/requires.ts';

const signal = new AbortController().signal;

/** Of Azure, beside those that every store knows. */
const BUSY: readonly Fault[] = [
  { kind: 'status', status: 503, code: 'ServerBusy' },
  { kind: 'status', status: 500, code: 'OperationTimedOut' },
];

const FINAL: readonly [Fault, ErrorCode][] = [
  [{ kind: 'swap' }, 'OBJECT_CHANGED'],
  [{ kind: 'total', total: 5 }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 416, code: 'InvalidRange' }, 'OBJECT_CHANGED'],
  [{ kind: 'status', status: 404, code: 'BlobNotFound' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 404, code: 'ContainerNotFound' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 409, code: 'ContainerBeingDeleted' }, 'OBJECT_MISSING'],
  [{ kind: 'status', status: 409, code: 'BlobArchived' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 409, code: 'BlobBeingRehydrated' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 403, code: 'AuthenticationFailed' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 403, code: 'AuthorizationFailure' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 403, code: 'KeyBasedAuthenticationNotPermitted' }, 'ACCESS_DENIED'],
  [{ kind: 'status', status: 400, code: 'AccountRequiresHttps' }, 'SOURCE_UNREACHABLE'],
  [{ kind: 'status', status: 403, page: true }, 'SOURCE_UNREACHABLE'],
  [{ kind: 'status', status: 407, page: true }, 'SOURCE_UNREACHABLE'],
];

faultContract({
  tools: AZURITE_TOOLS,
  behindPeer: azureBehindPeer,
  passing: BUSY,
  busy: 'ServerBusy',
  final: FINAL,
  secret: /<|Signature|SharedKey/,
});

test('the contract, behind a peer that cuts bodies', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  await storeContract(t, 'azure', async (t) => {
    const { azurite, container, peer, store } = await azureBehindPeer(t, {});
    return {
      store,
      put: (key, bytes) => azurite.put(container, key, bytes),
      remove: (key) => azurite.remove(container, key),
      cutBodies: (after) => {
        peer.plan = () => (after === undefined ? undefined : { kind: 'cut', after });
      },
    };
  });
});

test('requests for the time of the server, where this clock is off', async (t) => {
  if (!requires(t, ...AZURITE_TOOLS)) return;
  const behind = await azureBehindPeer(t, { object: OBJECT });
  const hours = 3_600_000;
  const date = new Date(Date.now() + 3 * hours).toUTCString();
  const dates: string[] = [];
  behind.peer.plan = ({ headers }) => {
    dates.push(`${headers['x-ms-date']}`);
    const off = Math.abs(Date.parse(`${headers['x-ms-date']}`) - Date.parse(date)) > hours / 4;
    return off ? { kind: 'status', status: 403, code: 'AuthenticationFailed', date } : undefined;
  };
  t.equal((await behind.store.head('object', { signal })).size, SIZE);
  t.equal(dates.length, 2, 'once more, for the other time');
});
