// What a run has done so far, so that the next one goes on from there (design section 8).
//
// The file only grows; a torn or damaged line ends what is believed, and the rest is cut off. The journal is a claim, not
// a proof: parts are read again and compared with their CRC before they count, and a completed PVC is kept only while a look
// at its target finds no difference. What an earlier run compared is not recorded: each run has to do that itself.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { formatRecord, type JournalRecord, parseRecords } from './journal-record.ts';
import {
  type CompletedDisk,
  type LayerIdentity,
  type Part,
  type ReadJournal,
  type Recorded,
  Records,
  type SavedHead,
} from './journal-state.ts';

export interface LayerJournal {
  readonly parts: readonly Part[];
  readonly head: SavedHead | undefined;
  addPart(part: Part): Promise<void>;
  saveFirstCluster(head: SavedHead): Promise<void>;
}

export interface Journal extends Recorded {
  /** What is known of this very object version; an older version's parts are forgotten. */
  layer(identity: LayerIdentity): Promise<LayerJournal>;
  complete(disk: CompletedDisk): Promise<void>;
  /** Takes a completed PVC back: its target is about to be written again, or differs from the backup. */
  reopen(disk: string): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Opens or makes the journal at `path` (0600, links not followed), believing every whole record from its start. */
export async function openJournal(path: string): Promise<Journal> {
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    const { records, length } = parseRecords(await handle.readFile());
    await handle.truncate(length);
    return new FileJournal(handle, length, new Records(records));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Looks into the journal at `path` as `openJournal` would, and changes nothing. Rejects with the system's error. */
export async function readJournal(path: string): Promise<ReadJournal> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return new Records(parseRecords(await handle.readFile()).records);
  } finally {
    await handle.close();
  }
}

/** Milliseconds after which the next part that is recorded is also flushed. */
const FLUSH_INTERVAL_MS = 1000;

class FileJournal implements Journal {
  readonly #handle: FileHandle;
  readonly #records: Records;
  /** Where the whole records end. */
  #position: number;
  #nextId: number;
  /** Never rejects: who asked for a write hears of it. */
  #writes: Promise<void> = Promise.resolve();
  #flushed = performance.now();

  constructor(handle: FileHandle, position: number, records: Records) {
    this.#handle = handle;
    this.#position = position;
    this.#records = records;
    this.#nextId = records.freeId();
  }

  get hasProgress(): boolean {
    return this.#records.hasProgress;
  }

  completed(disk: string): CompletedDisk | undefined {
    return this.#records.completed(disk);
  }

  async layer(identity: LayerIdentity): Promise<LayerJournal> {
    const known = this.#records.idOf(identity);
    if (known !== undefined) return this.#view(known);
    const id = this.#nextId;
    this.#nextId += 1;
    await this.#append({ t: 'layer', id, ...identity });
    return this.#view(id);
  }

  async complete(disk: CompletedDisk): Promise<void> {
    await this.#append({ t: 'finished', ...disk });
    await this.flush();
  }

  async reopen(disk: string): Promise<void> {
    if (this.completed(disk) === undefined) return;
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

  #view(id: number): LayerJournal {
    const layer = this.#records.layerOf(id);
    if (layer === undefined) throw new TypeError('recorded layer not found');
    return {
      parts: layer.parts,
      get head() {
        return layer.head;
      },
      addPart: async (part) => {
        await this.#append({ t: 'part', layer: id, ...part });
        // A part that is lost with the machine's power costs a fetch, so parts need no flush each.
        if (performance.now() - this.#flushed > FLUSH_INTERVAL_MS) await this.flush();
      },
      saveFirstCluster: async (head) => {
        await this.#append({ t: 'head', layer: id, ...head });
        await this.flush();
      },
    };
  }

  /** One after the other. A record counts when all of it is in the file; one that fails costs itself alone. */
  async #append(record: JournalRecord): Promise<void> {
    const write = this.#writes.then(() => this.#write(formatRecord(record)));
    this.#writes = write.catch(() => {});
    await write;
    this.#records.add(record);
  }

  async #write(bytes: Buffer): Promise<void> {
    try {
      // A file system that is full takes a part of it first, and says nothing of it.
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, this.#position + done);
        done += bytesWritten;
      }
    } catch (error) {
      // When even that fails, the next record is written over what is torn.
      await this.#handle.truncate(this.#position).catch(() => {});
      throw error;
    }
    this.#position += bytes.length;
  }
}
