// The key of an account, requested from Azure's management service: the operator's way where an identity may not read blobs.
import { Agent, request as requestHttp } from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { parseJson } from '../../parse-json.ts';
import type { TlsOptions } from '../http/connection.ts';
import type { ProxyEnvironment } from '../remote/proxy.ts';

export interface KeyRequest {
  readonly management: string;
  readonly subscription: string;
  readonly resourceGroup: string;
  readonly account: string;
  readonly token: string;
  readonly tls: TlsOptions;
  readonly proxies: ProxyEnvironment;
  readonly answerMs: number;
}

/** The management service did not give the key. */
export class NoAccountKey extends Error {
  override readonly name = 'NoAccountKey';
  readonly status: number;

  constructor(status: number) {
    super(`the management service answered ${status} to the request for the account's key`);
    this.status = status;
  }
}

const answerSchema = z.object({
  keys: z.array(z.object({ value: z.string().min(1), permissions: z.string().optional() })).min(1),
});

/** Storage Accounts - List Keys. Rejects with `NoAccountKey`, or as the connection fails. */
export async function requestAccountKey(options: KeyRequest): Promise<Uint8Array> {
  const { management, subscription, resourceGroup, account, token, tls, proxies, answerMs } = options;
  const path = ['subscriptions', subscription, 'resourceGroups', resourceGroup].map(encodeURIComponent).join('/');
  const url = new URL(
    `${management}/${path}/providers/Microsoft.Storage/storageAccounts/${account}/listKeys?api-version=2023-01-01`,
  );
  const secure = url.protocol === 'https:';
  const agent = secure
    ? new TlsAgent({ proxyEnv: { ...proxies }, ...tls, rejectUnauthorized: true })
    : new Agent({ proxyEnv: { ...proxies } });
  const headers = { authorization: `Bearer ${token}`, 'content-length': '0', 'user-agent': 'kubevirt-datamover' };
  try {
    const { status, body } = await new Promise<{ status: number; body: string }>((resolve, reject) => {
      const send = secure ? requestHttps : requestHttp;
      const sent = send(url, { method: 'POST', headers, agent, signal: AbortSignal.timeout(answerMs) }, (answer) => {
        text(answer).then((body) => resolve({ status: answer.statusCode ?? 0, body }), reject);
      });
      sent.on('error', reject).end();
    });
    if (status !== 200) throw new NoAccountKey(status);
    const { data } = answerSchema.safeParse(parseJson(body));
    const key = data?.keys.find(({ permissions }) => permissions?.toLowerCase() === 'full') ?? data?.keys[0];
    if (key === undefined) throw new NoAccountKey(status);
    return Buffer.from(key.value, 'base64');
  } finally {
    agent.destroy();
  }
}
