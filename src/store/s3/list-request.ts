// The request for one page of a listing, in the version that the server knows.
import { ListObjectsCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { abortable } from '../../concurrency.ts';
import { refusesFeature } from '../remote/if-match.ts';
import type { Attempt } from '../retry/attempt.ts';
import { errorName, statusOf } from './errors.ts';
import { type ListPage, type ListPosition, toPage } from './list-page.ts';
import type { SendOptions } from './transport.ts';

export interface ListRequestOptions {
  readonly client: S3Client;
  readonly bucket: string;
  /** The source's prefix, '' or ending in '/'. */
  readonly prefix: string;
}

export class ListRequest {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  /** Undefined until a server has answered either version. */
  #listsV2: boolean | undefined;

  constructor({ client, bucket, prefix }: ListRequestOptions) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /**
   * One page of the entries right under `prefix`, a key with its '/' or ''. Of ListObjects where the server does not know ListObjectsV2,
   * or where the page before named no token.
   */
  async page(
    prefix: string,
    { from = {}, limit }: { readonly from?: ListPosition; readonly limit?: number },
    { attempt, onBytes }: { readonly attempt: Attempt; readonly onBytes: (count: number) => void },
  ): Promise<ListPage> {
    const input = {
      Bucket: this.#bucket,
      Prefix: `${this.#prefix}${prefix}`,
      Delimiter: '/',
      ...(limit === undefined ? {} : { MaxKeys: limit }),
    };
    const { token, after } = from;
    const watch = { answered: () => attempt.answered(), onBytes };
    const options: SendOptions = { abortSignal: attempt.signal, watch };
    const first = new ListObjectsCommand({ ...input, ...(after === undefined ? {} : { Marker: after }) });
    const viaFirst = async (): Promise<ListPage> =>
      toPage(await abortable(this.#client.send(first, options), attempt.signal), input.Prefix);
    if (this.#listsV2 === false || after !== undefined) return await viaFirst();
    try {
      const second = new ListObjectsV2Command({
        ...input,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page = toPage(await abortable(this.#client.send(second, options), attempt.signal), input.Prefix);
      this.#listsV2 = true;
      return page;
    } catch (error) {
      if (this.#listsV2 === true || !refusesFeature(statusOf(error), errorName(error))) throw error;
      const page = await viaFirst().catch(() => undefined);
      attempt.signal.throwIfAborted();
      if (page === undefined) throw error;
      this.#listsV2 = false;
      return page;
    }
  }
}
