// A record of the journal as it is written: a line of eight hex digits of CRC-32, a space, JSON.
import { crc32 } from 'node:zlib';
import { z } from 'zod';

const recordSchema = z.discriminatedUnion('t', [
  z.object({
    t: z.literal('layer'),
    id: z.int().min(0),
    disk: z.string(),
    index: z.int().min(0),
    object: z.string(),
    size: z.int().min(0),
    etag: z.string(),
  }),
  z.object({
    t: z.literal('part'),
    layer: z.int().min(0),
    offset: z.int().min(0),
    length: z.int().min(1),
    crc: z.int().min(0),
  }),
  z.object({ t: z.literal('head'), layer: z.int().min(0), length: z.int().min(1), crc: z.int().min(0) }),
  z.object({
    t: z.literal('finished'),
    disk: z.string(),
    chain: z.string(),
    target: z.record(z.string(), z.unknown()),
    restoredBy: z.object({ runId: z.string(), finishedAt: z.iso.datetime() }).optional(),
    expected: z.literal(true).optional(),
    inode: z.string().optional(),
    virtualSize: z.int().min(0),
    length: z.int().min(0).optional(),
    windows: z.array(z.object({ offset: z.int().min(0), length: z.int().min(1) })).readonly(),
    crc: z.int().min(0),
  }),
  z.object({ t: z.literal('reopened'), disk: z.string() }),
]);
export type JournalRecord = z.infer<typeof recordSchema>;

/** The whole records that `bytes` begin with, and how many bytes they take up; a torn or damaged line ends them. */
export function parseRecords(bytes: Buffer): { records: JournalRecord[]; length: number } {
  const records: JournalRecord[] = [];
  let start = 0;
  for (let end = bytes.indexOf(10, start); end !== -1; end = bytes.indexOf(10, start)) {
    const record = parseRecord(bytes.subarray(start, end));
    if (record === undefined) break;
    records.push(record);
    start = end + 1;
  }
  return { records, length: start };
}

function parseRecord(line: Buffer): JournalRecord | undefined {
  const body = line.subarray(9);
  if (line.length < 10 || line.subarray(0, 8).toString('latin1') !== hexOf(crc32(body))) return undefined;
  try {
    return recordSchema.safeParse(JSON.parse(body.toString('utf8'))).data;
  } catch {
    // Whole by its CRC and yet no JSON: not ours. What is not believed is only fetched again.
    return undefined;
  }
}

export function formatRecord(record: JournalRecord): Buffer {
  const body = JSON.stringify(record);
  return Buffer.from(`${hexOf(crc32(body))} ${body}\n`);
}

const hexOf = (crc: number): string => crc.toString(16).padStart(8, '0');
