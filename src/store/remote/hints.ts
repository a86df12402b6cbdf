// What to change when the way to a store is closed, whichever store it is.
import type { SourceNames } from './failure-context.ts';

export const PROXY_HINT = 'the proxy requires a login: put user and password into HTTP_PROXY and HTTPS_PROXY';

export const PROXY_RULES_HINT =
  'check HTTP_PROXY and HTTPS_PROXY; add the host of the endpoint to NO_PROXY if it is reached without a proxy';

export const GATEWAY_HINT =
  'check the load balancer or proxy that answered, and the servers behind it, then run the same command again';

export function clientCertificateHint({ endpoint }: Pick<SourceNames, 'endpoint'>): string {
  return `set ${endpoint} to an address that does not require a client certificate: kubevirt-datamover sends none`;
}

/** The same endpoint with the other scheme, as a hint to type. */
export function otherScheme(names: Pick<SourceNames, 'endpoint'>, endpoint: string | undefined): string {
  const url = URL.parse(endpoint ?? '');
  if (url === null) return `set ${names.endpoint} to the address of the object store`;
  const scheme = url.protocol === 'https:' ? 'http' : 'https';
  return `set ${names.endpoint} to ${scheme}://${url.host}${url.pathname.replace(/\/$/, '')}`;
}
