// The key of an account, requested from Azure's management service: the operator's way where an identity may not read blobs.
import { z } from 'zod';
import { parseJson } from '../../parse-json.ts';
import { requestWeb, type WebOptions } from '../remote/web-request.ts';

export interface KeyRequest extends WebOptions {
  readonly management: string;
  readonly subscription: string;
  readonly resourceGroup: string;
  readonly account: string;
  readonly token: string;
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
export async function requestAccountKey(request: KeyRequest): Promise<Uint8Array> {
  const { management, subscription, resourceGroup, account, token, tls, ...options } = request;
  const path = ['subscriptions', subscription, 'resourceGroups', resourceGroup].map(encodeURIComponent).join('/');
  const url = new URL(
    `${management}/${path}/providers/Microsoft.Storage/storageAccounts/${account}/listKeys?api-version=2023-01-01`,
  );
  const headers = { authorization: `Bearer ${token}` };
  // The key of an account is not given to a server without a certificate, whatever the plan says of the store's.
  const trust = { ...tls, rejectUnauthorized: true };
  const { status, body } = await requestWeb(url, { method: 'POST', headers }, { ...options, tls: trust });
  if (status !== 200) throw new NoAccountKey(status);
  const { data } = answerSchema.safeParse(parseJson(body));
  const key = data?.keys.find(({ permissions }) => permissions?.toLowerCase() === 'full') ?? data?.keys[0];
  if (key === undefined) throw new NoAccountKey(status);
  return Buffer.from(key.value, 'base64');
}
