// Values that may be absent, as options have them: left out, never undefined.

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The values that are not undefined. */
export function omitUndefined<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>;
}
