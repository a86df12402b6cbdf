// `--vm NAMESPACE/NAME`.
import { InvalidArgumentError, Option } from 'commander';
import { whyNoName } from '../../object-key.ts';
import type { VmRef } from '../../vm-ref.ts';

export function vmOption(description: string): Option {
  return new Option('--vm <namespace/name>', description).argParser(parseVm);
}

function parseVm(value: string): VmRef {
  const [namespace = '', name = '', ...more] = value.split('/');
  if (more.length > 0 || whyNoName(namespace) !== undefined || whyNoName(name) !== undefined) {
    throw new InvalidArgumentError('It must be NAMESPACE/NAME, as in demo/web.');
  }
  return { namespace, name };
}
