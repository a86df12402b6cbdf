// `--checksums-file`: what `plan --checksums` found out, a line of JSON for each layer, so that a run that was stopped resumes.
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { z } from 'zod';
import { DatamoverError, messageOf } from '../errors.ts';
import { parseJson } from '../parse-json.ts';
import type { ObjectInfo } from '../store/store.ts';

/** Checksums of object versions. */
export interface KnownChecksums {
  /** Lower-case hex, of this very version of the object; undefined when it is not known. */
  find(info: ObjectInfo): string | undefined;
  /** Resolves when it is on the medium. OUTPUT_FAILED. */
  add(info: ObjectInfo, sha256: string): Promise<void>;
  close(): Promise<void>;
}

/** Without a file nothing is known and nothing is kept. */
export const noChecksums: KnownChecksums = { find: () => undefined, add: async () => {}, close: async () => {} };

const recordSchema = z.strictObject({
  source: z.string(),
  object: z.string(),
  etag: z.string(),
  size: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

type ChecksumRecord = z.infer<typeof recordSchema>;

/**
 * Opens the file, or makes it (0600). `source` tells the objects of one store from those of another.
 * @throws DatamoverError USAGE when a line of it is no checksum (a last one that was cut short apart: it is removed); OUTPUT_FAILED.
 */
export async function openChecksumFile(path: string, { source }: { readonly source: string }): Promise<KnownChecksums> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND;
  const handle = await open(path, flags, 0o600).catch((error: unknown) => {
    throw fileError(path, 'open', error);
  });
  try {
    const text = await handle.readFile('utf8');
    const end = text.lastIndexOf('\n') + 1;
    const known = new Map(
      parseRecords(text.slice(0, end), path)
        .filter((record) => record.source === source)
        .map((record) => [keyOf(record), record.sha256]),
    );
    if (end < text.length) {
      if (!text.slice(end).startsWith('{"source":')) throw notChecksums(path);
      await handle.truncate(Buffer.byteLength(text.slice(0, end)));
    }
    return new ChecksumFile(handle, { path, source, known });
  } catch (error) {
    await handle.close();
    throw error instanceof DatamoverError ? error : fileError(path, 'read', error);
  }
}

class ChecksumFile implements KnownChecksums {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #source: string;
  readonly #known: Map<string, string>;

  constructor(
    handle: FileHandle,
    { path, source, known }: { readonly path: string; readonly source: string; readonly known: Map<string, string> },
  ) {
    this.#handle = handle;
    this.#path = path;
    this.#source = source;
    this.#known = known;
  }

  find({ key: object, etag, size }: ObjectInfo): string | undefined {
    return this.#known.get(keyOf({ object, etag, size }));
  }

  async add({ key: object, etag, size }: ObjectInfo, sha256: string): Promise<void> {
    const record: ChecksumRecord = { source: this.#source, object, etag, size, sha256 };
    const line = Buffer.from(`${JSON.stringify(record)}\n`);
    try {
      // In one piece, so that two lines that are added at the same time do not mix.
      const { bytesWritten } = await this.#handle.write(line);
      if (bytesWritten !== line.length) throw new Error('no space left');
      await this.#handle.datasync();
    } catch (error) {
      throw fileError(this.#path, 'write', error);
    }
    this.#known.set(keyOf(record), sha256);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function keyOf({ object, etag, size }: Pick<ChecksumRecord, 'object' | 'etag' | 'size'>): string {
  return JSON.stringify([object, etag, size]);
}

function parseRecords(text: string, path: string): ChecksumRecord[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const { data } = recordSchema.safeParse(parseJson(line));
    if (data === undefined) throw notChecksums(path);
    return data;
  });
}

function notChecksums(path: string): DatamoverError {
  return new DatamoverError('USAGE', `--checksums-file ${path}: not a file of checksums`, {
    hint: 'name a new file, or one that an earlier run wrote with --checksums-file',
  });
}

function fileError(path: string, verb: string, error: unknown): DatamoverError {
  return new DatamoverError('OUTPUT_FAILED', `cannot ${verb} checksum file ${path}: ${messageOf(error)}`, {
    hint: 'free space there, or name another file with --checksums-file',
    cause: error,
  });
}
