// The bucket's JSON documents as they come: types checked, keys that we do not know ignored (they are not ours and will
// grow). Go writes an empty list as null and an absent time as the year 1.
import { z } from 'zod';
import { DatamoverError } from '../errors.ts';
import { invalidNameReason } from '../object-key.ts';
import { parseQuantity } from '../units.ts';
import { isEmptyEntry } from './empty-entries.ts';

const name = z.string().superRefine((value, context) => {
  const why = invalidNameReason(value);
  if (why !== undefined) context.addIssue({ code: 'custom', message: `${JSON.stringify(value.slice(0, 80))} ${why}` });
});

const optionalText = z
  .string()
  .nullish()
  .transform((value) => value || undefined);

const NO_CHECKPOINTS = 'not a list of checkpoints';

const timestamp = optionalText.transform((value) => (isTime(value) ? value : undefined));

const size = z
  .number()
  .refine((value) => Number.isSafeInteger(value) && value >= 0, 'invalid size: expected an integer from 0 to 2^53-1');

const quantity = z.union([z.string(), z.number()]).transform((value, context) => {
  const bytes = parseQuantity(String(value));
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: 'custom', message: `invalid quantity: ${JSON.stringify(value)}` });
  return z.NEVER;
});

/** What the uploader writes; the published design has the bare file name. */
const file = z.union([
  name.transform((filename) => ({ filename, diskName: undefined, size: undefined, objectPath: undefined })),
  z.object({
    filename: name,
    diskName: optionalText,
    size: size.nullish().transform((value) => value ?? undefined),
    objectPath: optionalText,
  }),
]);

export const checkpointDocument = z.object({
  id: name,
  type: z
    .string()
    .transform((value) => value.toLowerCase())
    .pipe(z.enum(['full', 'incremental'])),
  parent: optionalText,
  timestamp,
  vmBackup: optionalText,
  files: listOf(file),
  pvcs: listOf(z.string()),
  pvcSizes: listOf(quantity),
  referencedBy: listWithoutEmpty(z.string().min(1)),
});

/** Checkpoints one by one afterwards: what is wrong with one is no harm to those that do not build on it. */
export const vmIndexDocument = z.object({
  vmName: optionalText,
  namespace: optionalText,
  checkpoints: listOf(z.unknown()),
});

export const backupDocument = z.object({
  timestamp,
  vms: listWithoutEmpty(z.object({ name, namespace: name, checkpointId: optionalText, manifestPath: optionalText })),
});

/** Early uploaders wrote objects. */
const checkpointId = z.union([name, z.object({ id: name }).transform(({ id }) => id)]);

/** `gaps`: empty entries were left out, so that neighbours need not be parent and child. Harmless where an index has the parents. */
export const manifestDocument = z
  .object({
    namespace: z.string(),
    name: z.string(),
    checkpointChain: z
      .array(orEmpty(checkpointId), { error: NO_CHECKPOINTS })
      .refine((ids) => ids.some((id) => id !== undefined), NO_CHECKPOINTS),
    timestamp,
  })
  .transform(({ checkpointChain, ...rest }) => {
    const ids = checkpointChain.filter((id) => id !== undefined);
    return { ...rest, checkpointChain: ids, gaps: ids.length < checkpointChain.length };
  });

export type VmManifest = z.infer<typeof manifestDocument>;

/** METADATA_INVALID, naming the object (`where`) and the place in it, when `data` is no such document. */
export function parseDocument<Schema extends z.ZodType>(schema: Schema, data: unknown, where: string): z.infer<Schema> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new DatamoverError('METADATA_INVALID', `${where}: ${formatIssues(parsed.error.issues)}`, {
    hint: 'compare it with another copy of the bucket; the document is damaged or of another kind',
  });
}

/** The first of the issues with its place, and how many more there are. */
export function formatIssues(issues: readonly z.core.$ZodIssue[]): string {
  const [first] = issues;
  if (first === undefined) return 'invalid document';
  const issue = deepest(first);
  const place = issue.path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  return `${place === '' ? '' : `${place.replace(/^\./, '')}: `}${issue.message}${more}`;
}

/** Of a union's branches the one that got furthest says what is wrong. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  const branches = issue.errors.flat().map(deepest);
  const furthest = branches.toSorted((a, b) => b.path.length - a.path.length)[0];
  return furthest === undefined ? issue : { ...furthest, path: [...issue.path, ...furthest.path] };
}

export function listOf<Item extends z.ZodType>(item: Item) {
  return z
    .array(item)
    .nullish()
    .transform((value) => value ?? []);
}

/** As `listOf`, without empty entries. */
function listWithoutEmpty<Item extends z.ZodType>(item: Item) {
  return listOf(orEmpty(item)).transform((values) => values.filter((value) => value !== undefined));
}

/** Undefined for an empty entry, also where `item` itself does not take one. */
function orEmpty<Item extends z.ZodType>(item: Item) {
  return z.union([
    item,
    z
      .unknown()
      .refine(isEmptyEntry)
      .transform(() => undefined),
  ]);
}

function isTime(value: string | undefined): boolean {
  return value !== undefined && Date.parse(value) > 0;
}
