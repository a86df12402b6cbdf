// Writes a plan as YAML that a person can read and change, with comments. What it writes, `readPlan` reads back alike.
import { Document, YAMLMap, YAMLSeq } from 'yaml';
import { omitUndefined } from '../omit-undefined.ts';
import { GiB, KiB, MiB } from '../units.ts';
import { type AzureSource, DEFAULT_HEADROOM_PERCENT, type Plan, type PlanPvc, type PlanSource } from './plan.ts';
import { diskOf } from './vms.ts';

export interface PlanComments {
  /** Lines above everything. */
  readonly top: readonly string[];
  /** Lines above a PVC, by its name. */
  readonly pvcs: ReadonlyMap<string, readonly string[]>;
}

/** YAML text of `plan`; a CA given as text cannot be written and is left out. */
export function writePlan(plan: Plan, comments: PlanComments): string {
  const root = new YAMLMap();
  root.set('version', plan.version);
  root.set('source', sourceNode(plan.source));
  if (plan.scratch !== undefined) {
    const { path, headroomPercent } = plan.scratch;
    const headroom = headroomPercent === DEFAULT_HEADROOM_PERCENT ? {} : { headroomPercent };
    if (path !== undefined || 'headroomPercent' in headroom) {
      root.set('scratch', mapNode({ ...(path === undefined ? {} : { path }), ...headroom }));
    }
  }
  if (plan.order !== undefined) root.set('order', plan.order);
  if (plan.backup !== undefined) root.set('backup', plan.backup);
  if (plan.vm !== undefined) root.set('vm', `${plan.vm.namespace}/${plan.vm.name}`);
  root.set('pvcs', seqNode(plan.pvcs.map((pvc) => pvcNode(pvc, comments.pvcs.get(pvc.name) ?? []))));
  const document = new Document(root);
  document.commentBefore = commentText(comments.top);
  return document.toString({ lineWidth: 0 });
}

function sourceNode(source: PlanSource): YAMLMap {
  if (source.kind === 'directory') return mapNode({ directory: source.directory });
  if (source.kind === 'azure') return nest('azure', mapNode(writtenAzure(source)));
  const { kind, caPem: _caPem, ...bucket } = source;
  return nest(kind, mapNode(bucket));
}

/** What only the environment of `download` gives is not a part of plans. */
function writtenAzure(source: AzureSource) {
  const { account, container, prefix, endpoint, credentialsFile, sasTokenFile, cloud, caFile, insecureSkipTLSVerify } =
    source;
  return {
    account,
    container,
    ...omitUndefined({ prefix, endpoint, credentialsFile, sasTokenFile, cloud, caFile, insecureSkipTLSVerify }),
  };
}

function pvcNode(pvc: PlanPvc, comment: readonly string[]): YAMLMap {
  const { vm, backup, claimName, target, size, chain } = pvc;
  const node = mapNode({
    name: diskOf(pvc),
    ...(vm === undefined ? {} : { vm: `${vm.namespace}/${vm.name}` }),
    ...(backup === undefined ? {} : { backup }),
    ...(claimName === undefined ? {} : { claimName }),
    target,
    ...(size === undefined ? {} : { size: quantity(size) }),
  });
  if (comment.length > 0) node.commentBefore = commentText(comment);
  if (chain !== undefined) {
    node.set('chain', seqNode(chain.map((layer) => flow(mapNode({ ...layer })))));
  }
  return node;
}

/** The shortest exact one: `64Mi`, or plain bytes. */
function quantity(bytes: number): string | number {
  const unit = UNITS.find(([, factor]) => bytes > 0 && bytes % factor === 0);
  return unit === undefined ? bytes : `${bytes / unit[1]}${unit[0]}`;
}

const UNITS = [
  ['Gi', GiB],
  ['Mi', MiB],
  ['Ki', KiB],
] as const;

function mapNode(values: Readonly<Record<string, string | number | boolean>>): YAMLMap {
  const node = new YAMLMap();
  for (const [key, value] of Object.entries(values)) node.set(key, value);
  return node;
}

function nest(key: string, value: YAMLMap): YAMLMap {
  const node = new YAMLMap();
  node.set(key, value);
  return node;
}

function seqNode(items: readonly YAMLMap[]): YAMLSeq {
  const node = new YAMLSeq();
  for (const item of items) node.add(item);
  return node;
}

/** On one line: `{ checkpoint: cp-001, … }`. */
function flow(node: YAMLMap): YAMLMap {
  node.flow = true;
  return node;
}

/** A comment's lines must not break out of it, whatever names they hold. */
function commentText(lines: readonly string[]): string {
  return lines.map((line) => ` ${line.replace(BREAKS, '?')}`).join('\n');
}

// Control characters, and all that some YAML reader takes for the end of a line.
const BREAKS = /[\p{Cc}\u2028\u2029]/gu;
