// Flags that say when and where pods run, read strictly: what Kubernetes would refuse is refused here.
import { InvalidArgumentError, Option } from 'commander';
import { type Scheduling, TAINT_EFFECTS, type Toleration } from '../../kubernetes/options.ts';
import { isNamespaceName, isResourceName } from '../../kubernetes-names.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import { parseInteger, parseText } from '../flags/flags.ts';

export interface SchedulingFlags {
  readonly queue?: string;
  readonly priorityClass?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly tolerations?: readonly Toleration[];
  readonly ttl?: number;
}

export function schedulingOptions(): Option[] {
  return [
    new Option('--queue <name>', 'LocalQueue of Kueue that starts the Jobs; they are created suspended').argParser(
      parseLabelName,
    ),
    new Option('--priority-class <name>', 'PriorityClass of the pods').argParser(parseObjectName),
    new Option('--node-selector <key=value>', 'label of the nodes to run on; repeatable').argParser(collectLabel),
    new Option('--tolerations <key=value:effect>', 'taint to tolerate, also key:effect or key; repeatable').argParser(
      collectToleration,
    ),
    new Option('--ttl <seconds>', 'delete a Job this long after it has ended (default: keep)').argParser(
      parseInteger({ min: 0, max: 999_999_999 }),
    ),
  ];
}

export function schedulingOf({ queue, priorityClass, nodeSelector, tolerations, ttl }: SchedulingFlags): Scheduling {
  return omitUndefined({ queue, priorityClass, nodeSelector, tolerations, ttlSeconds: ttl });
}

/** The name of an object of Kubernetes. */
export function parseObjectName(value: string): string {
  if (isResourceName(parseText(value))) return value;
  throw new InvalidArgumentError("It must be lower-case letters, digits, '-' and '.'.");
}

/** A namespace, or a name that is the value of a label: at most 63 characters, no dots. */
export function parseLabelName(value: string): string {
  if (isNamespaceName(parseText(value))) return value;
  throw new InvalidArgumentError("It must be at most 63 lower-case letters, digits and '-'.");
}

function collectLabel(value: string, earlier: Readonly<Record<string, string>> | undefined): Record<string, string> {
  const [, key = '', text = ''] = /^([^=]*)=(.*)$/s.exec(parseText(value)) ?? [];
  if (!isLabelKey(key) || !isLabelValue(text))
    throw new InvalidArgumentError('It must be KEY=VALUE, a label of nodes.');
  return { ...earlier, [key]: text };
}

function collectToleration(value: string, earlier: readonly Toleration[] | undefined): readonly Toleration[] {
  const [, key = '', text, effect] = /^([^=:]*)(?:=([^:]*))?(?::(.*))?$/s.exec(parseText(value)) ?? [];
  const known = TAINT_EFFECTS.find((one) => one === effect);
  if (!isLabelKey(key) || !isLabelValue(text ?? '') || (effect !== undefined && known === undefined)) {
    throw new InvalidArgumentError(
      `It must be KEY=VALUE:EFFECT, KEY:EFFECT or KEY; effects: ${TAINT_EFFECTS.join(', ')}.`,
    );
  }
  const toleration: Toleration = {
    key,
    operator: text === undefined ? 'Exists' : 'Equal',
    ...omitUndefined({ value: text, effect: known }),
  };
  return [...(earlier ?? []), toleration];
}

/** A qualified name: `[prefix/]name`. */
function isLabelKey(key: string): boolean {
  const [name = '', prefix, ...more] = key.split('/').reverse();
  return more.length === 0 && (prefix === undefined || isResourceName(prefix)) && name !== '' && isLabelValue(name);
}

function isLabelValue(text: string): boolean {
  return text === '' || (text.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(text));
}
