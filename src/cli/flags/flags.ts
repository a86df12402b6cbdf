// The flags: what several commands share is declared once, and a value is checked where it is read.
import { InvalidArgumentError, Option } from 'commander';
import { STRATEGIES, type Strategy } from '../../strategy.ts';
import { formatBytes, GiB, KiB, MiB, parseQuantity } from '../../units.ts';

/** Flags that `restore` and `download` share; design section 7. */
export interface RestoreFlags {
  readonly strategy: Strategy;
  readonly scratch?: string;
  readonly verify: 'none' | 'compare';
  readonly compress?: boolean;
  readonly hash?: boolean;
  readonly resume?: boolean;
  readonly dryRun?: boolean;
  readonly concurrency?: number;
  readonly partSize?: number;
  readonly maxRate?: number;
  readonly window?: number;
  readonly checksums: boolean;
  readonly acceptUnproven?: boolean;
  readonly report?: string;
  readonly metricsPort?: number;
}

export function restoreOptions(): Option[] {
  return [
    strategyOption(),
    scratchOption(),
    verifyOption(),
    compressOption(),
    new Option('--no-resume', 'ignore saved progress and start over'),
    new Option('--dry-run', 'run all checks, print what would be done, write nothing'),
    ...readingOptions(),
    windowOption(),
    new Option('--no-checksums', 'do not verify the checksums of the plan and the store'),
    acceptUnprovenOption(),
    reportOption(),
    hashOption(),
    new Option('--metrics-port <port>', 'serve Prometheus metrics on this port').argParser(parsePort),
  ];
}

export function strategyOption(): Option {
  return new Option('--strategy <name>', 'restore strategy, see Strategies')
    .choices(STRATEGIES)
    .default('staged', 'staged');
}

export function verifyOption(): Option {
  return new Option('--verify <how>', 'after the restore, compare the target with the backup')
    .choices(['none', 'compare'])
    .default('none', 'none');
}

export function compressOption(): Option {
  return new Option('--compress', 'compress targets that end in .qcow2 (zstd)');
}

export function hashOption(): Option {
  return new Option('--hash', 'read each target back, report its SHA-256');
}

export function scratchOption(description = 'directory for temporary files'): Option {
  return new Option('--scratch <dir>', description).argParser(parseText);
}

export function windowOption(description = 'memory of stream for data on its way (default 96Mi)'): Option {
  return new Option('--window <size>', description).argParser(parseSize({ min: 16 * MiB, max: 64 * GiB }));
}

export function concurrencyOption(): Option {
  const description = 'concurrent range requests, 1 to 256 (default 16; stream and serve: 32)';
  return new Option('--concurrency <n>', description).argParser(parseInteger({ min: 1, max: 256 }));
}

/** Flags of everything that reads objects through. */
export function readingOptions(): Option[] {
  return [
    concurrencyOption(),
    new Option('--part-size <size>', 'size of one range request (default 16Mi)').argParser(
      parseSize({ min: 64 * KiB, max: GiB }),
    ),
    maxRateOption(),
  ];
}

export function maxRateOption(): Option {
  const description = 'bytes per second to read from the source at most';
  return new Option('--max-rate <size>', description).argParser(parseSize({ min: 4 * KiB, max: 1024 * GiB }));
}

export function acceptUnprovenOption(): Option {
  return new Option('--accept-unproven', 'accept a chain whose order no document proves');
}

export function reportOption(): Option {
  return new Option('--report <file>', 'also write the JSON result to this file').argParser(parseText);
}

export function pvcOption(description: string): Option {
  return new Option('--pvc <name>', description).argParser(appendValue);
}

/**
 * A value that is text. One that is empty (an unset shell variable) or looks like a flag (a value was forgotten, and
 * `--report --dry-run` would restore for real) is refused.
 */
export function parseText(value: string): string {
  if (value === '') throw new InvalidArgumentError('It is empty.');
  if (value.startsWith('--')) throw new InvalidArgumentError('It looks like a flag; its own value is missing.');
  return value;
}

/** As `parseText`, for a flag that may be given several times. */
function appendValue(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), parseText(value)];
}

export function parsePort(value: string): number {
  return parseInteger({ min: 1, max: 65_535 })(value);
}

export function parseInteger({ min, max }: { readonly min: number; readonly max: number }): (value: string) => number {
  return (value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`It must be an integer from ${min} to ${max}.`);
  };
}

export function parseSize({ min, max }: { readonly min: number; readonly max: number }): (value: string) => number {
  return (value) => {
    const bytes = parseQuantity(value);
    if (bytes === undefined) throw new InvalidArgumentError('It must be a size such as 16Mi, 500M or 1048576.');
    if (bytes >= min && bytes <= max) return bytes;
    throw new InvalidArgumentError(`It must be from ${formatBytes(min)} to ${formatBytes(max)}.`);
  };
}
