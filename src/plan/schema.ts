// The plan's document as people write it (design section 6): keys, types, and what is said when they are wrong.
import { z } from 'zod';
import { AZURE_CLOUDS } from '../azure-options.ts';
import { findChainFlaw } from '../chain-order.ts';
import { closestMatch } from '../did-you-mean.ts';
import { isResourceName } from '../kubernetes-names.ts';
import { invalidKeyReason, invalidNameReason } from '../object-key.ts';
import { parseQuantity } from '../units.ts';

/** Marks issues that are no PLAN_INVALID, and carries the hint of any. */
export interface IssueParams {
  readonly code?: 'CHAIN_BROKEN';
  readonly hint?: string;
}

const text = z.string().min(1, 'is empty');
const path = text.refine((value) => !value.includes('\0'), 'holds a NUL');

const name = z.string().superRefine((value, context) => addIssue(context, invalidNameReason(value)));

const objectKey = z.string().superRefine((value, context) =>
  addIssue(context, invalidKeyReason(value), {
    hint: 'object keys are relative to the source, as in checkpoints/<namespace>/<vm>/<checkpoint>/<file>.qcow2',
  }),
);

/** A size: `10Gi`, `500M`, `10737418240`, as text or number. */
const quantity = z.union([z.string(), z.number()], { error: 'invalid size' }).transform((value, context) => {
  const bytes = parseQuantity(String(value));
  if (bytes !== undefined) return bytes;
  context.addIssue({
    code: 'custom',
    message: `invalid size: ${JSON.stringify(value)}`,
    params: { hint: 'write bytes (10737418240) or a quantity (10Gi, 500M), from 0 to 2^53-1' } satisfies IssueParams,
  });
  return z.NEVER;
});

const sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/i, 'invalid SHA-256: expected 64 hexadecimal digits')
  .transform((value) => value.toLowerCase());

const endpoint = z.string().refine((value) => /^https?:\/\/[^/]/i.test(value) && URL.canParse(value), {
  error: 'is not an http or https URL',
  params: { hint: 'use a URL such as https://s3.example.com or http://10.0.0.5:9000' } satisfies IssueParams,
});

const layer = object({
  checkpoint: name,
  type: z.enum(['full', 'incremental']),
  parent: name.exactOptional(),
  object: objectKey,
  size: quantity.exactOptional(),
  sha256: sha256.exactOptional(),
});

const chain = z.tuple([layer], layer).superRefine((layers, context) => {
  const flaw = findChainFlaw(layers, { parents: 'optional' });
  if (flaw !== undefined) {
    const params: IssueParams = { code: 'CHAIN_BROKEN', hint: flaw.hint };
    context.addIssue({ code: 'custom', path: [flaw.index], message: flaw.message, params });
  }
  for (const [index, { object: key }] of layers.entries()) {
    const first = layers.findIndex((other) => other.object === key);
    if (first === index) continue;
    const params: IssueParams = { code: 'CHAIN_BROKEN', hint: 'give each layer of a chain its own object' };
    context.addIssue({
      code: 'custom',
      path: [index, 'object'],
      message: `is also the object of chain[${first}]`,
      params,
    });
  }
});

const vm = z.string().transform((value, context) => {
  const [namespace, vmName, ...rest] = value.split('/');
  if (namespace && vmName && rest.length === 0 && !invalidNameReason(namespace) && !invalidNameReason(vmName)) {
    return { namespace, name: vmName };
  }
  addIssue(context, `expected namespace/name, got ${JSON.stringify(value)}`, { hint: 'for example `vm: demo/web`' });
  return z.NEVER;
});

const claimName = z.string().refine(isResourceName, {
  error: 'invalid name of a PersistentVolumeClaim',
  params: { hint: "use lower-case letters, digits, '-' and '.', at most 253 characters" } satisfies IssueParams,
});

const pvc = object({
  name,
  vm: vm.exactOptional(),
  backup: name.exactOptional(),
  claimName: claimName.exactOptional(),
  target: path,
  size: quantity.exactOptional(),
  chain: chain.exactOptional(),
});

const s3 = object({
  bucket: text.refine((value) => !/[\0-\x20/\x7f]/.test(value), {
    error: 'invalid bucket name',
    params: {
      hint: 'give only the bucket; put the path before checkpoints/ and manifests/ into `prefix`',
    } satisfies IssueParams,
  }),
  prefix: z.string().exactOptional(),
  endpoint: endpoint.exactOptional(),
  region: text.exactOptional(),
  forcePathStyle: z.boolean().exactOptional(),
  profile: text.exactOptional(),
  credentialsFile: path.exactOptional(),
  caFile: path.exactOptional(),
  insecureSkipTLSVerify: z.boolean().exactOptional(),
  sseCustomerKeyFile: path.exactOptional(),
});

const gcs = object({
  bucket: text.refine((value) => /^[a-z0-9](?:[a-z0-9._-]{1,220})[a-z0-9]$/.test(value), {
    error: 'invalid bucket name',
    params: {
      hint: 'give only the bucket, in lower case; put the path before checkpoints/ and manifests/ into `prefix`',
    } satisfies IssueParams,
  }),
  prefix: z.string().exactOptional(),
  endpoint: endpoint.exactOptional(),
  credentialsFile: path.exactOptional(),
  caFile: path.exactOptional(),
  insecureSkipTLSVerify: z.boolean().exactOptional(),
});

const azure = object({
  account: text.refine((value) => /^[a-z0-9]{3,24}$/.test(value), {
    error: 'invalid storage account name',
    params: { hint: 'give only the name of the account, 3 to 24 lower-case letters and digits' } satisfies IssueParams,
  }),
  container: text.refine((value) => !/[\0-\x20/\x7f]/.test(value), {
    error: 'invalid container name',
    params: {
      hint: 'give only the container; put the path before checkpoints/ and manifests/ into `prefix`',
    } satisfies IssueParams,
  }),
  prefix: z.string().exactOptional(),
  endpoint: endpoint.exactOptional(),
  credentialsFile: path.exactOptional(),
  sasTokenFile: path.exactOptional(),
  cloud: z.enum(AZURE_CLOUDS).exactOptional(),
  caFile: path.exactOptional(),
  insecureSkipTLSVerify: z.boolean().exactOptional(),
});

const source = object({
  s3: s3.exactOptional(),
  azure: azure.exactOptional(),
  gcs: gcs.exactOptional(),
  directory: path.exactOptional(),
}).superRefine((value, context) => {
  const named = Object.entries(value).flatMap(([key, given]) => (given === undefined ? [] : [`\`${key}\``]));
  if (named.length === 1) return;
  const what =
    named.length === 0
      ? 'names none of `s3`, `azure`, `gcs` and `directory`'
      : `names ${named.length === 2 ? 'both ' : ''}${named.slice(0, -1).join(', ')} and ${named.at(-1)}`;
  addIssue(context, what, {
    hint: 'give one source: `s3` or `gcs` with a bucket, `azure` with a container, or `directory` with a path',
  });
});

/** The whole document; what it gives is still to be made into a `Plan`: defaults, absolute paths. */
export const planDocument = object({
  version: z.literal(1, {
    error: ({ input }) => (input === undefined ? 'is missing' : 'expected 1, the only version of plans'),
  }),
  source,
  scratch: object({
    path: path.exactOptional(),
    headroomPercent: z.number().min(0, 'is negative').max(1000, 'is over 1000').exactOptional(),
  }).exactOptional(),
  order: z
    .literal('unproven', {
      error: () => ({ message: 'invalid order: expected unproven, or no such key' }),
    })
    .exactOptional(),
  backup: name.exactOptional(),
  vm: vm.exactOptional(),
  pvcs: z.tuple([pvc], pvc),
});

export type PlanDocument = z.infer<typeof planDocument>;

/** An object that refuses keys it does not know, each with the nearest one that it does. */
function object<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? unknownKeys(issue.keys, known) : undefined),
  });
}

function unknownKeys(keys: readonly string[], known: readonly string[]): string {
  return keys
    .map((key) => {
      const near = closestMatch(key, known);
      const named = `unknown key ${JSON.stringify(key)}`;
      return near === undefined ? `${named} (known keys: ${known.join(', ')})` : `${named}: did you mean "${near}"?`;
    })
    .join('; ');
}

function addIssue(
  context: { addIssue: (issue: { code: 'custom'; message: string; params: IssueParams }) => void },
  why: string | undefined,
  params: IssueParams = {},
): void {
  if (why !== undefined) context.addIssue({ code: 'custom', message: why, params });
}
