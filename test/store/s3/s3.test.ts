// The S3 store on a real server: the contract, and what only S3 can do.
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { type Test, test } from 'tap';
import { openS3Store } from '../../../src/store/s3/s3.ts';
import { type StoreUnderTest, storeContract } from '../../contract/store.ts';
import { requires } from '../../helpers/requires.ts';
import { RGW_TOOLS, startRgw } from '../../helpers/rgw.ts';

async function makeStore(t: Test): Promise<StoreUnderTest> {
  const rgw = await startRgw(t);
  const bucket = await rgw.createBucket();
  const prefix = 'velero/-kubevirt-datamover';
  const store = await openS3Store(
    { bucket, prefix, endpoint: rgw.endpoint },
    {
      concurrency: 4,
      env: rgw.env,
      onRetry: ({ reason }) => {
        t.fail(`tried again: ${reason}`);
      },
    },
  );
  t.teardown(() => store.close());
  return {
    store,
    put: (key, bytes) => rgw.put(bucket, `${prefix}/${key}`, bytes),
    remove: async (key) => {
      await rgw.client.send(new DeleteObjectCommand({ Bucket: bucket, Key: `${prefix}/${key}` }));
    },
  };
}

test('the contract', async (t) => {
  if (requires(t, ...RGW_TOOLS)) await storeContract(t, 's3', makeStore);
});
