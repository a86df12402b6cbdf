// `plan --checksums`: its flags, and what takes the checksums of a drafted plan's layers.
import { resolve } from 'node:path';
import { Option } from 'commander';
import type { TakeChecksums } from '../../draft/checksums.ts';
import { DatamoverError } from '../../errors.ts';
import type { Progress } from '../../progress.ts';
import { concurrencyOption, maxRateOption, parseText } from '../flags/flags.ts';
import { refuse } from '../flags/usage.ts';
import type { Session } from '../session/session.ts';
import type { RecordedStore } from './with-store.ts';

export interface ChecksumFlags {
  readonly checksums?: boolean | undefined;
  readonly checksumsFile?: string | undefined;
  readonly concurrency?: number | undefined;
  readonly maxRate?: number | undefined;
}

export function checksumOptions(): Option[] {
  return [
    new Option('--checksums', 'read every layer, write its SHA-256 into the plan'),
    new Option('--checksums-file <file>', 'record checksums in this file, reuse those in it').argParser(parseText),
    concurrencyOption(),
    maxRateOption(),
  ];
}

export interface TakerOptions {
  readonly store: RecordedStore;
  readonly progress: Progress;
  readonly session: Pick<Session, 'cwd' | 'paths' | 'signal'>;
}

/** USAGE for flags that do not go together. */
export function checkChecksumFlags({ checksums = false, checksumsFile }: ChecksumFlags): void {
  if (!checksums && checksumsFile !== undefined) refuse('--checksums-file requires --checksums', 'add --checksums');
}

/** Undefined without `--checksums`. */
export function checksumTaker(
  { checksums = false, checksumsFile, concurrency }: ChecksumFlags,
  { store, progress, session: { cwd, paths, signal } }: TakerOptions,
): TakeChecksums | undefined {
  if (!checksums) return undefined;
  return async (chains) => {
    const { noChecksums, openChecksumFile } = await import('../../baseline/checksum-file.ts');
    const { takeChecksums } = await import('../../baseline/take-checksums.ts');
    const path = checksumsFile === undefined ? undefined : resolve(cwd, checksumsFile);
    if (path !== undefined) {
      const hint = 'choose another file, for example --checksums-file sums.jsonl';
      paths.writes({ kind: 'report', path, label: `checksum file ${path}`, hint });
      const conflicts = await paths.problems('report');
      if (conflicts.length > 0) throw DatamoverError.fromProblems(conflicts);
    }
    const known = path === undefined ? noChecksums : await openChecksumFile(path, { source: store.description });
    try {
      return await takeChecksums({ store, chains, known, concurrency, progress, signal });
    } finally {
      await known.close();
    }
  };
}
