// Lists of names for messages: all of a few, the first of many.

const MAX_NAMES = 20;

/** `a, b, c`, or the first twenty `and 4980 more`. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).join(', ');
  return names.length > MAX_NAMES ? `${shown} and ${names.length - MAX_NAMES} more` : shown;
}
