// Which request is refused with what: a table.
import { test } from 'tap';
import { validateRequest } from '../../src/nbd/refusal.ts';
import { COMMAND, COMMAND_FLAG, NBD_ERROR } from '../../src/nbd/wire.ts';
import { memoryExport } from '../helpers/memory-export.ts';

const SIZE = 1000;
const LIMIT = 512;
const { READ, WRITE, TRIM, WRITE_ZEROES, FLUSH, CACHE, BLOCK_STATUS } = COMMAND;
const { FUA, DF, REQ_ONE } = COMMAND_FLAG;
const { EINVAL, EPERM } = NBD_ERROR;

interface Row {
  type: number;
  offset?: number | undefined;
  length?: number;
  flags?: number;
  /** Nothing was negotiated. */
  plain?: boolean;
  error?: number;
}

const ROWS: Record<string, Row> = {
  'the first byte': { type: READ, length: 1 },
  'the last byte': { type: READ, offset: SIZE - 1, length: 1 },
  'as much as is allowed': { type: READ, length: LIMIT },
  'do not fragment': { type: READ, length: 1, flags: DF },
  'more than is allowed': { type: READ, length: LIMIT + 1, error: EINVAL },
  'the most that 32 bits hold': { type: READ, length: 0xffffffff, error: EINVAL },
  nothing: { type: READ, length: 0, error: EINVAL },
  'one byte beyond the end': { type: READ, offset: SIZE - 1, length: 2, error: EINVAL },
  'behind the end': { type: READ, offset: SIZE, length: 1, error: EINVAL },
  'far behind the end': { type: READ, offset: Number.MAX_SAFE_INTEGER, length: 1, error: EINVAL },
  'beyond 2^53': { type: READ, offset: undefined, length: 1, error: EINVAL },
  'FUA, which was not offered': { type: READ, length: 1, flags: FUA, error: EINVAL },
  'a flag of another command': { type: READ, length: 1, flags: REQ_ONE, error: EINVAL },
  'an unknown flag': { type: READ, length: 1, flags: 0x8000, error: EINVAL },
  'do not fragment, without structured replies': { type: READ, length: 1, flags: DF, plain: true, error: EINVAL },
  write: { type: WRITE, length: 1, error: EPERM },
  'write beyond the end, with FUA': { type: WRITE, offset: SIZE, length: 1, flags: FUA, error: EPERM },
  trim: { type: TRIM, length: 1, error: EPERM },
  'write zeroes': { type: WRITE_ZEROES, length: 1, error: EPERM },
  'flush, which was not offered': { type: FLUSH, error: EINVAL },
  'cache, which was not offered': { type: CACHE, length: 1, error: EINVAL },
  'an unknown command': { type: 8, length: 1, error: EINVAL },
  'another unknown command': { type: 0xffff, length: 1, error: EINVAL },
  'status of all': { type: BLOCK_STATUS, length: SIZE },
  'status of one': { type: BLOCK_STATUS, length: 1, flags: REQ_ONE },
  'status of nothing': { type: BLOCK_STATUS, length: 0, error: EINVAL },
  'status beyond the end': { type: BLOCK_STATUS, offset: 1, length: SIZE, error: EINVAL },
  'status with a flag of another command': { type: BLOCK_STATUS, length: 1, flags: DF, error: EINVAL },
  'status that was not negotiated': { type: BLOCK_STATUS, length: 1, plain: true, error: EINVAL },
};

test('requests judged', async (t) => {
  const served = memoryExport('', new Uint8Array(SIZE), { extents: true });
  for (const [name, row] of Object.entries(ROWS)) {
    const { type, length = 0, flags = 0, plain = false } = row;
    const offset = 'offset' in row ? row.offset : 0;
    const session = { export: served, structured: !plain, allocation: !plain };
    const request = { type, flags, offset, length, cookie: { high: 0, low: 0 } };
    const judged = validateRequest(request, session, LIMIT);
    t.equal('error' in judged ? judged.error : undefined, row.error, name);
    if (!('error' in judged)) t.same(judged, request, `${name}: as it came`);
  }
});
