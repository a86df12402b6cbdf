// Headers in the form in which the SDK takes them: it fails for a time that it cannot read, also for one that is not used. Pure.

/** Times that are not used here. */
const UNUSED: ReadonlySet<string> = new Set(['expires', 'x-amz-object-lock-retain-until-date']);

/** The same headers (lower-case names), Last-Modified as RFC 9110 wants it, or left out when invalid. */
export function headersForSdk(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => {
      if (UNUSED.has(name)) return [];
      if (name !== 'last-modified') return [[name, value]];
      const time = new Date(value);
      return Number.isNaN(time.getTime()) ? [] : [[name, time.toUTCString()]];
    }),
  );
}
