// What a run has done so far, so that the next one goes on from there (design section 8).
//
// A line a record: eight hex digits of CRC-32, a space, JSON. The file only grows; a torn or damaged line ends what is
// believed, and the rest is cut off. The journal is a claim, not a proof: parts are read again and compared with their
// CRC before they count, and a finished PVC counts only while its target still looks as it was left.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
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
    verified: z.boolean(),
    virtualSize: z.int().min(0),
    windows: z.array(z.object({ offset: z.int().min(0), length: z.int().min(1) })).readonly(),
    crc: z.int().min(0),
  }),
  z.object({ t: z.literal('reopened'), disk: z.string() }),
]);
type JournalRecord = z.infer<typeof recordSchema>;

/** A fetched range of a layer's object and the CRC-32 of its bytes. */
export interface Part extends Range {
  readonly crc: number;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The very object version that a layer's parts belong to. */
export interface LayerIdentity {
  readonly disk: string;
  readonly index: number;
  readonly object: string;
  readonly size: number;
  readonly etag: string;
}

/** The saved first bytes of a layer, from before they were rewritten. */
export interface SavedHead {
  readonly length: number;
  readonly crc: number;
}

export interface FinishedDisk {
  readonly disk: string;
  /** Of which versions of which objects it was made: equal for the same ones in the same order. */
  readonly chain: string;
  /** Who the target was, as its room describes it. */
  readonly target: Readonly<Record<string, unknown>>;
  /** Whether all of it was compared with the chain. */
  readonly verified: boolean;
  /** Bytes. */
  readonly virtualSize: number;
  /** Ranges of the target, and the CRC-32 of their bytes one after the other. */
  readonly windows: readonly Range[];
  readonly crc: number;
}

export interface LayerJournal {
  readonly parts: readonly Part[];
  readonly head: SavedHead | undefined;
  addPart(part: Part): Promise<void>;
  saveHead(head: SavedHead): Promise<void>;
}

export interface Journal {
  /** Whether a part or a finished PVC is recorded: a reason to keep scratch. */
  readonly worthKeeping: boolean;
  finished(disk: string): FinishedDisk | undefined;
  /** What is known of this very object version; an older version's parts are forgotten. */
  layer(identity: LayerIdentity): Promise<LayerJournal>;
  finish(disk: FinishedDisk): Promise<void>;
  /** Takes a finished PVC back: its target is about to be written again, or is no longer what was left. */
  reopen(disk: string): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds after which the next part that is recorded is also flushed. */
const FLUSH_INTERVAL_MS = 1000;

interface LayerState {
  readonly id: number;
  readonly identity: LayerIdentity;
  readonly parts: Part[];
  head: SavedHead | undefined;
}

/** Opens or makes the journal at `path` (0600, links not followed), believing every whole record from its start. */
export async function openJournal(path: string): Promise<Journal> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    const { records, length } = parseRecords(await handle.readFile());
    await handle.truncate(length);
    return new FileJournal(handle, length, records);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function parseRecords(bytes: Buffer): { records: JournalRecord[]; length: number } {
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

function formatRecord(record: JournalRecord): Buffer {
  const body = JSON.stringify(record);
  return Buffer.from(`${hexOf(crc32(body))} ${body}\n`);
}

const hexOf = (crc: number): string => crc.toString(16).padStart(8, '0');

class FileJournal implements Journal {
  readonly #handle: FileHandle;
  #position: number;
  #writes: Promise<void> = Promise.resolve();
  #flushed = performance.now();
  readonly #layers: LayerState[] = [];
  readonly #finished = new Map<string, FinishedDisk>();

  constructor(handle: FileHandle, position: number, records: readonly JournalRecord[]) {
    this.#handle = handle;
    this.#position = position;
    for (const record of records) this.#apply(record);
  }

  get worthKeeping(): boolean {
    return this.#finished.size > 0 || this.#layers.some((layer) => layer.parts.length > 0);
  }

  finished(disk: string): FinishedDisk | undefined {
    return this.#finished.get(disk);
  }

  async layer(identity: LayerIdentity): Promise<LayerJournal> {
    const known = this.#layers.findLast(
      (layer) => layer.identity.disk === identity.disk && layer.identity.index === identity.index,
    );
    const same =
      known !== undefined &&
      known.identity.object === identity.object &&
      known.identity.size === identity.size &&
      known.identity.etag === identity.etag;
    if (same) return this.#view(known);
    const id = this.#layers.length;
    await this.#append({ t: 'layer', id, ...identity });
    const added = this.#layers[id];
    if (added === undefined) throw new TypeError('a layer that was recorded is not there');
    return this.#view(added);
  }

  async finish(disk: FinishedDisk): Promise<void> {
    await this.#append({ t: 'finished', ...disk });
    await this.flush();
  }

  async reopen(disk: string): Promise<void> {
    if (!this.#finished.has(disk)) return;
    await this.#append({ t: 'reopened', disk });
    await this.flush();
  }

  async flush(): Promise<void> {
    await this.#writes;
    await this.#handle.datasync();
    this.#flushed = performance.now();
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#handle.close();
    }
  }

  #view(layer: LayerState): LayerJournal {
    return {
      parts: layer.parts,
      get head() {
        return layer.head;
      },
      addPart: async (part) => {
        await this.#append({ t: 'part', layer: layer.id, ...part });
        // A part that is lost with the machine's power costs a fetch, so parts need no flush each.
        if (performance.now() - this.#flushed > FLUSH_INTERVAL_MS) await this.flush();
      },
      saveHead: async (head) => {
        await this.#append({ t: 'head', layer: layer.id, ...head });
        await this.flush();
      },
    };
  }

  async #append(record: JournalRecord): Promise<void> {
    const bytes = formatRecord(record);
    const position = this.#position;
    this.#position += bytes.length;
    this.#apply(record);
    const write = this.#writes.then(async () => {
      await this.#handle.write(bytes, 0, bytes.length, position);
    });
    this.#writes = write;
    await write;
  }

  #apply(record: JournalRecord): void {
    switch (record.t) {
      case 'layer': {
        const { t: _, id, ...identity } = record;
        this.#layers[id] = { id, identity, parts: [], head: undefined };
        return;
      }
      case 'part': {
        const { t: _, layer, ...part } = record;
        this.#layers[layer]?.parts.push(part);
        return;
      }
      case 'head': {
        const layer = this.#layers[record.layer];
        if (layer !== undefined) layer.head = { length: record.length, crc: record.crc };
        return;
      }
      case 'reopened':
        this.#finished.delete(record.disk);
        return;
      case 'finished': {
        const { t: _, ...finished } = record;
        this.#finished.set(record.disk, finished);
        return;
      }
    }
  }
}
