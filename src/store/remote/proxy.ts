// Proxies from the environment: what Node's agents are given, and whether a request goes straight to its server. Pure.
import { DatamoverError } from '../../errors.ts';
import type { Environment } from './environment.ts';

export interface ProxyEnvironment {
  readonly http_proxy?: string;
  readonly https_proxy?: string;
  readonly no_proxy?: string;
}

/**
 * The proxy variables, lower case before upper case as everywhere. A proxy without a scheme (`proxy:3128`), which Node
 * would pass over in silence, is taken as http. USAGE for what is no http(s) URL; its text is not quoted, since it may hold a
 * password.
 */
export function readProxyEnvironment(env: Environment): ProxyEnvironment {
  const noProxy = env.no_proxy || env.NO_PROXY;
  return {
    ...proxyOf(env, 'http_proxy'),
    ...proxyOf(env, 'https_proxy'),
    ...(noProxy ? { no_proxy: noProxy } : {}),
  };
}

/**
 * True when there is no proxy for the URL's protocol, or NO_PROXY excepts its host for sure. The rules are Node's
 * (`proxyEnv` of its agents), but for its rarer ones (address ranges): then this is false, and Node decides.
 */
export function bypassesProxy(proxies: ProxyEnvironment, { protocol, hostname, port }: Destination): boolean {
  if (proxies[protocol === 'https:' ? 'https_proxy' : 'http_proxy'] === undefined) return true;
  const host = hostname.toLowerCase();
  const exceptions = (proxies.no_proxy ?? '').split(',');
  return exceptions.some((exception) => matchesNoProxy(exception.trim().toLowerCase(), host, port));
}

export interface Destination {
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number;
}

/** Of a request, or of an endpoint. */
export function destinationOf({
  protocol,
  hostname,
  port,
}: {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | string | undefined;
}): Destination {
  const secure = protocol === 'https:';
  const named = port === undefined || port === '' ? undefined : Number(port);
  return { protocol: secure ? 'https:' : 'http:', hostname, port: named ?? (secure ? 443 : 80) };
}

function proxyOf(env: Environment, name: 'http_proxy' | 'https_proxy'): ProxyEnvironment {
  const text = env[name] || env[name.toUpperCase()];
  if (!text) return {};
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return { [name]: url.href };
  throw new DatamoverError(
    'USAGE',
    `the environment's ${name} (or ${name.toUpperCase()}) is not an http or https URL`,
    {
      hint: 'set it to a URL such as http://proxy.example.com:3128, or unset it',
    },
  );
}

function matchesNoProxy(exception: string, host: string, port: number): boolean {
  if (exception === '') return false;
  if (exception === '*' || exception === host || exception === `${host}:${port}`) return true;
  const suffix = exception.startsWith('*.') ? exception.slice(1) : exception;
  return suffix.startsWith('.') && host.endsWith(suffix);
}
