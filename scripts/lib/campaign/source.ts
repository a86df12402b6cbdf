// The misbehaving peer's plan for a drawn fault of the source.
import type { Fault, PeerPlan, PeerRequest } from '../../../test/helpers/peer.ts';
import { randomFaults } from '../../../test/helpers/random-fault.ts';
import type { Drawn } from './draw.ts';

export const BEHAVES: PeerPlan = () => undefined;

/** A plan for one attempt; plans that strike once count from the attempt's beginning. */
export function sourcePlan({ source, place }: Drawn): PeerPlan {
  const reads = countReads();
  const from = 2 + Math.floor(place * 20);
  switch (source) {
    case 'none':
      return BEHAVES;
    case 'lossy':
      return randomFaults(0.2, ['reset', 'cut', 'short', 'long', 'unframed', 'chunked', 'status', 'delay']);
    case 'confused':
      return randomFaults(0.1, ['page', 'garbage', 'ignore-range', 'shift', 'no-etag', 'cut']);
    case 'overloaded':
      return ({ index }) =>
        index >= from && index < from + 12
          ? { kind: 'status', status: 503, code: 'SlowDown', retryAfter: 1 }
          : undefined;
    case 'slow':
      return ({ range }) =>
        range === undefined ? { kind: 'delay', ms: 20 } : { kind: 'throttle', bytesPerSecond: 8_000_000 };
    case 'stalling':
      return (request) => (reads(request) === from ? { kind: 'stall', after: 1000 } : undefined);
    case 'swapped':
      return (request) => (reads(request) >= from ? { kind: 'swap' } : undefined);
    case 'forbidden':
      return ({ index }): Fault | undefined =>
        index >= from ? { kind: 'status', status: 403, code: 'AccessDenied' } : undefined;
    case 'corrupted':
      return (request) => (reads(request) === from ? { kind: 'flip' } : undefined);
  }
}

/** How many ranged reads of data there were, this one included; 0 for any other request. */
function countReads(): (request: PeerRequest) => number {
  let count = 0;
  return ({ method, range }) => {
    if (method !== 'GET' || range === undefined || range.last - range.first < 4096) return 0;
    count += 1;
    return count;
  };
}
