// Which requests are refused, and with which error: decided on the 28 bytes alone, before anything is allocated or read.
// Facts: doc/proto.md, "Command flags", "Request types", "Block size constraints", "Error values".
import type { Session } from './handshake.ts';
import { COMMAND, COMMAND_FLAG, NBD_ERROR, type NbdError } from './wire.ts';
import type { Request } from './wire-transmission.ts';

export interface Refusal {
  readonly error: NbdError;
  readonly message: string;
}

/** A request whose range lies inside the export. */
export type ValidRequest = Request & { readonly offset: number };

/**
 * EPERM for all that would write, EINVAL for unknown commands and flags, for what was not negotiated, and for ranges that
 * are empty, beyond the end of the export, or (READ) longer than `maxRequest` bytes. The request itself when it is fine.
 */
export function validateRequest(request: Request, session: Session, maxRequest: number): ValidRequest | Refusal {
  switch (request.type) {
    case COMMAND.WRITE:
    case COMMAND.TRIM:
    case COMMAND.WRITE_ZEROES:
      return { error: NBD_ERROR.EPERM, message: 'the export is read-only' };
    case COMMAND.READ:
      // FUA is none of its flags: SEND_FUA is not offered.
      if ((request.flags & ~(session.structured ? COMMAND_FLAG.DF : 0)) !== 0)
        return invalidRefusal('flags', request.flags);
      if (request.length > maxRequest) return invalidRefusal('length', request.length);
      return validateRange(request, session.export.size);
    case COMMAND.BLOCK_STATUS:
      if (!session.allocation) return { error: NBD_ERROR.EINVAL, message: 'no metadata context was negotiated' };
      if ((request.flags & ~COMMAND_FLAG.REQ_ONE) !== 0) return invalidRefusal('flags', request.flags);
      return validateRange(request, session.export.size);
    default: // FLUSH and CACHE too, which are not offered
      return invalidRefusal('command', request.type);
  }
}

function validateRange(request: Request, size: number): ValidRequest | Refusal {
  const { offset, length } = request;
  if (length === 0) return invalidRefusal('length', length);
  if (offset === undefined || offset > size - length) {
    return { error: NBD_ERROR.EINVAL, message: `the range ends beyond the export's ${size} bytes` };
  }
  return { ...request, offset };
}

function invalidRefusal(what: string, value: number): Refusal {
  return { error: NBD_ERROR.EINVAL, message: `invalid ${what} ${value}` };
}
