// `--vm NAMESPACE/NAME`.
import { InvalidArgumentError, Option } from 'commander';
import { invalidNameReason } from '../../object-key.ts';
import { parseVmPattern, type VmPattern } from '../../vm-pattern.ts';
import type { VmRef } from '../../vm-ref.ts';

export function vmOption(description: string): Option {
  return new Option('--vm <namespace/name>', description).argParser(parseVm);
}

/** `--vm NAMESPACE/NAME`, repeatable, with `*` and `?`. */
export function vmPatternsOption(description: string): Option {
  return new Option('--vm <namespace/name>', description).argParser(collectPattern);
}

function collectPattern(value: string, earlier: readonly VmPattern[] | undefined): readonly VmPattern[] {
  const pattern = parseVmPattern(value);
  if (pattern !== undefined) return [...(earlier ?? []), pattern];
  throw new InvalidArgumentError("It must be NAMESPACE/NAME, as in demo/web or 'shop/*'.");
}

function parseVm(value: string): VmRef {
  const [namespace = '', name = '', ...more] = value.split('/');
  if (more.length > 0 || invalidNameReason(namespace) !== undefined || invalidNameReason(name) !== undefined) {
    throw new InvalidArgumentError('It must be NAMESPACE/NAME, as in demo/web.');
  }
  return { namespace, name };
}
