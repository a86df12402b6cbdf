// The stores that a campaign can run on: where the backups are uploaded to, and how a plan names them.

import { startAzurite } from '../../../test/helpers/azurite.ts';
import { type BackupForTest, type PlanDocument, uploadBucket } from '../../../test/helpers/backup.ts';
import { startGcs } from '../../../test/helpers/gcs.ts';
import { startRgw } from '../../../test/helpers/rgw.ts';
import type { Owner } from '../../../test/helpers/tmp.ts';

export const STORES = ['s3', 'azure', 'gcs'] as const;

export type StoreName = (typeof STORES)[number];

export interface CampaignStore {
  readonly name: StoreName;
  /** `http://host:port` of the real server. */
  readonly origin: string;
  /** What gives the program its credentials. */
  readonly env: NodeJS.ProcessEnv;
  /** Uploads a backup; gives a plan's source by the address that it is read through. */
  share(made: BackupForTest): Promise<(origin: string) => PlanDocument['source']>;
}

export async function startStore(owner: Owner, name: StoreName): Promise<CampaignStore> {
  return await { s3: startS3, azure: startAzure, gcs: startGoogle }[name](owner);
}

async function startS3(owner: Owner): Promise<CampaignStore> {
  const rgw = await startRgw(owner);
  const { region, env } = rgw;
  return {
    name: 's3',
    origin: rgw.endpoint,
    env,
    share: async (made) => {
      const bucket = await uploadBucket(rgw, made);
      // A dialect that changes requests breaks their signatures.
      await rgw.openToAll(bucket);
      return (endpoint) => ({ s3: { bucket, ...prefixOf(made), endpoint, region, forcePathStyle: true } });
    },
  };
}

async function startAzure(owner: Owner): Promise<CampaignStore> {
  const azurite = await startAzurite(owner);
  const { origin, account, env } = azurite;
  return {
    name: 'azure',
    origin,
    env,
    share: async (made) => {
      const container = await azurite.createContainer();
      await azurite.putFolder(container, made.bucket);
      return (peer) => ({ azure: { account, container, ...prefixOf(made), endpoint: `${peer}/${account}` } });
    },
  };
}

async function startGoogle(owner: Owner): Promise<CampaignStore> {
  const gcs = await startGcs(owner);
  const credentialsFile = gcs.credentials();
  return {
    name: 'gcs',
    origin: gcs.origin,
    env: {},
    share: async (made) => {
      const bucket = await gcs.createBucket();
      await gcs.rgw.putFolder(bucket, made.bucket);
      return (endpoint) => ({ gcs: { bucket, ...prefixOf(made), endpoint, credentialsFile } });
    },
  };
}

function prefixOf({ prefix }: BackupForTest): { readonly prefix?: string } {
  return prefix === '' ? {} : { prefix };
}
