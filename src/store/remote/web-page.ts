// A web page in place of an object or a listing.
import { TransientError } from '../retry/policy.ts';

/**
 * Throws a `TransientError` for a page with a status of success: nothing that a store holds of a backup is one. An answer with `ownHeader`
 * (lower case) is the service's, whatever its content type.
 */
export function refuseWebPage(
  { status, headers }: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  { ownHeader, hint }: { readonly ownHeader: string; readonly hint: string },
): void {
  const isPage = status < 300 && /^text\/html\b/i.test(headers['content-type'] ?? '');
  if (!isPage || headers[ownHeader] !== undefined) return;
  throw new TransientError('the server sent a web page', { fewRetries: true, hint });
}
