// Fields of a credentials file: what is missing or invalid is named, and never quoted.
import { z } from 'zod';

/** Throws for the file, with a hint other than the usual one, and a line, where these are given. */
export type Refuse = (why: string, hint?: string, line?: number) => never;

export const text = z.string().min(1);

/** The fields of `document`, or a refusal that names those that are missing or of another type. */
export function readFields<Schema extends z.ZodType>(
  document: unknown,
  schema: Schema,
  refuse: Refuse,
): z.output<Schema> {
  const { data, error } = schema.safeParse(document);
  if (error === undefined) return data as z.output<Schema>;
  const names = new Set(error.issues.map(({ path }) => path.join('.')));
  return refuse(`missing or invalid: ${[...names].join(', ')}`);
}

/** A URL that secrets are sent to: https, or a server of this machine or its host (metadata services have no TLS). */
export function secureUrl(value: string, name: string, refuse: Refuse): URL {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) return refuse(`${name} is not an https URL`);
  const local = /^(?:localhost|127(?:\.\d+){3}|169\.254(?:\.\d+){2}|\[::1\])$/.test(url.hostname);
  return url.protocol === 'https:' || local ? url : refuse(`${name} is not an https URL`);
}
