// Which version of an object an answer is about, as far as the server distinguishes versions. Pure.
//
// A strong ETag decides alone (RFC 9110, 8.8.3.2). Where a proxy weakens tags or takes their quotes away, where a server sends tags in
// a form of its own or none at all, the tag's value, Last-Modified and the version id together stand in for it.
import { z } from 'zod';

export interface Pin {
  /** The ETag without `W/` and quotes. */
  readonly tag?: string | undefined;
  /** Whether the tag came as a strong one. */
  readonly strong: boolean;
  /** Last-Modified, seconds since 1970. */
  readonly modified?: number | undefined;
  readonly version?: string | undefined;
}

export interface PinSource {
  readonly etag?: string | undefined;
  readonly lastModified?: string | Date | undefined;
  readonly versionId?: string | undefined;
}

/** The pin of an answer; undefined when nothing in it identifies a version. */
export function pinOf({ etag, lastModified, versionId }: PinSource): Pin | undefined {
  const [, tag = ''] = /^(?:W\/)?"?(.*?)"?$/is.exec(etag?.trim() ?? '') ?? [];
  const modified = lastModified === undefined ? Number.NaN : Math.floor(new Date(lastModified).getTime() / 1000);
  const pin = {
    strong: /^"[^"]+"$/.test(etag?.trim() ?? ''),
    ...(tag === '' ? {} : { tag }),
    ...(Number.isNaN(modified) ? {} : { modified }),
    // Without versioning every version is called `null`.
    ...(versionId === undefined || versionId === '' || versionId === 'null' ? {} : { version: versionId }),
  };
  return 'tag' in pin || 'modified' in pin || 'version' in pin ? pin : undefined;
}

/** The pin of an answer's headers (lower-case names). */
export function pinOfHeaders(headers: Readonly<Record<string, string>>): Pin | undefined {
  return pinOf({
    etag: headers.etag,
    lastModified: headers['last-modified'],
    versionId: headers['x-amz-version-id'] ?? headers['x-ms-version-id'] ?? headers['x-goog-generation'],
  });
}

/**
 * What callers and the journal hold: equal for the same version and the same kind of tag. A strong tag as it is, since copies of
 * one object may have other times; else all that is known.
 */
export function formatPin(pin: Pin): string {
  return pin.strong && pin.tag !== undefined ? `"${pin.tag}"` : JSON.stringify(pin, ['tag', 'modified', 'version']);
}

const weakSchema = z.object({
  tag: z.string().optional(),
  modified: z.number().optional(),
  version: z.string().optional(),
});

/** The inverse of `formatPin`; any other text counts as a tag. */
export function parsePin(text: string): Pin {
  if (!text.startsWith('{')) return pinOf({ etag: text }) ?? { strong: false };
  return { strong: false, ...weakSchema.parse(JSON.parse(text)) };
}

/** Whether an answer with these headers (lower-case names) is about the pinned version; see `comparePins`. */
export function compareWithHeaders(
  pin: Pin,
  headers: Readonly<Record<string, string>>,
): ReturnType<typeof comparePins> {
  // What nearly every answer is, without taking it apart.
  if (pin.strong && headers.etag === `"${pin.tag}"`) return 'same';
  return comparePins(pin, pinOfHeaders(headers));
}

/** Whether an answer is about the pinned version; `unclear` when it lacks what the pin has. */
export function comparePins(pin: Pin, answer: Pin | undefined): 'same' | 'changed' | 'unclear' {
  if (answer === undefined) return 'unclear';
  if (pin.tag !== undefined) {
    if (answer.tag === undefined) return 'unclear';
    if (pin.tag !== answer.tag) return 'changed';
    if (pin.strong && answer.strong) return 'same';
  }
  if (differ(pin.version, answer.version) || differ(pin.modified, answer.modified)) return 'changed';
  const known = [pin.tag, pin.version && answer.version, pin.modified && answer.modified];
  return known.some((value) => value !== undefined) ? 'same' : 'unclear';
}

function differ<T>(a: T | undefined, b: T | undefined): boolean {
  return a !== undefined && b !== undefined && a !== b;
}
