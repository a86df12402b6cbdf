// Lists of names for messages: all of a few, the first of many.

const MOST = 20;

/** `a, b, c`, or the first twenty `and 4980 more`. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, MOST).join(', ');
  return names.length > MOST ? `${shown} and ${names.length - MOST} more` : shown;
}
