// GETs without the SDK's middleware, which takes 1 ms of CPU a request: the SDK builds one request of the bucket, and for each object
// and range only its signer runs.
import { isDeepStrictEqual } from 'node:util';
import type { GetObjectCommand, GetObjectCommandInput, GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import type { FinalizeRequestMiddleware, HttpRequest, RequestSigner } from '@smithy/types';
import { encodePath, formatTarget } from '../http/message.ts';
import { FastSigner, type SigningInput } from './fast-signer.ts';

/** Stands for every key: an object of that name need not exist. */
export const SOME_KEY = 'key';

/** What differs between the GETs of a bucket. */
export interface DirectGet {
  /** The object's, prefix and all. */
  readonly key: string;
  /** Undefined for the complete object. */
  readonly range: string | undefined;
  readonly ifMatch: string | undefined;
}

/** A GET that lacks only its key, range, condition, time and signature. */
export class PreparedGet {
  readonly #client: S3Client;
  readonly #request: HttpRequest;
  readonly #signer: RequestSigner;
  readonly #scope: SigningScope;
  readonly #fastSigner = new FastSigner();
  /** Undefined while it is not known that the fast signer signs as the SDK does. */
  #fastScope: Pick<SigningInput, 'region' | 'service'> | undefined;

  private constructor(client: S3Client, request: HttpRequest, signer: RequestSigner, scope: SigningScope) {
    this.#client = client;
    this.#request = request;
    this.#signer = signer;
    this.#scope = scope;
  }

  /**
   * Lets the SDK build the request of `command`, whose key is `SOME_KEY`; nothing is sent, but credentials are asked for. Undefined
   * where it is to be signed in another way than by SigV4 with the client's own credentials: directory buckets have sessions. Rejects
   * as `client.send`.
   */
  static async from(client: S3Client, command: GetObjectCommand): Promise<PreparedGet | undefined> {
    let prepared: PreparedGet | undefined;
    const take: FinalizeRequestMiddleware<GetObjectCommandInput, GetObjectCommandOutput> = (_next, context) => {
      return async ({ request }) => {
        const scheme = context.endpointV2?.properties?.authSchemes?.[0];
        if (isHttpRequest(request) && request.path.endsWith(`/${SOME_KEY}`) && scheme?.name === 'sigv4') {
          const { signingRegion, signingName: signingService } = scheme;
          const scope = { ...(signingRegion && { signingRegion }), ...(signingService && { signingService }) };
          prepared = new PreparedGet(client, plain(request), await client.config.signer(scheme), scope);
          await prepared.#compareSigners();
        }
        // In the place of an answer.
        return { response: undefined, output: { $metadata: {} } };
      };
    };
    const options = { name: 'prepare', relation: 'before', toMiddleware: 'httpSigningMiddleware' } as const;
    command.middlewareStack.addRelativeTo(take, options);
    await client.send(command);
    return prepared;
  }

  /** The signed request. The client renews its credentials before they expire. Rejects as whatever provides them. */
  async sign({ key, range, ifMatch }: DirectGet): Promise<HttpRequest> {
    const path = `${this.#request.path.slice(0, -SOME_KEY.length)}${encodePath(key)}`;
    const headers = {
      ...this.#request.headers,
      ...(range === undefined ? {} : { range }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    };
    // The SDK keeps the difference to the server's clock there, and corrects it by the answers that it sees.
    const date = new Date(Date.now() + this.#client.config.systemClockOffset);
    const request = { ...this.#request, path, headers };
    return await (this.#fastScope === undefined ? this.#signSlowly(request, date) : this.#signFast(request, date));
  }

  async #compareSigners(): Promise<void> {
    const { signingRegion, signingService = 's3' } = this.#scope;
    const region = signingRegion ?? (await this.#client.config.region());
    const date = new Date();
    const request = {
      ...this.#request,
      headers: { ...this.#request.headers, range: 'bytes=0-0', 'if-match': '"a  b"' },
    };
    const expected = await this.#signSlowly(request, date);
    this.#fastScope = { region, service: signingService };
    const { headers } = await this.#signFast(request, date);
    if (!isDeepStrictEqual(lowerCase(headers), lowerCase(expected.headers))) this.#fastScope = undefined;
  }

  async #signSlowly(request: HttpRequest, signingDate: Date): Promise<HttpRequest> {
    return await this.#signer.sign(request, { ...this.#scope, signingDate });
  }

  async #signFast(request: HttpRequest, date: Date): Promise<HttpRequest> {
    const { region, service } = this.#fastScope ?? { region: '', service: '' };
    const credentials = await this.#client.config.credentials();
    const query = formatTarget('', request.query ?? {}).slice(1);
    const headers = this.#fastSigner.sign({ ...request, query }, { credentials, region, service, date });
    return { ...request, headers };
  }
}

function lowerCase(headers: HttpRequest['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

interface SigningScope {
  readonly signingRegion?: string;
  readonly signingService?: string;
}

/** Names of one attempt, which no later one may carry. */
const OF_ATTEMPT: ReadonlySet<string> = new Set(['amz-sdk-invocation-id', 'amz-sdk-request']);

function plain({ method, protocol, hostname, port, path, query, headers }: HttpRequest): HttpRequest {
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ATTEMPT.has(name.toLowerCase())));
  return {
    method,
    protocol,
    hostname,
    ...(port === undefined ? {} : { port }),
    path,
    query: query ?? {},
    headers: kept,
  };
}

function isHttpRequest(request: unknown): request is HttpRequest {
  return typeof request === 'object' && request !== null && 'hostname' in request && 'headers' in request;
}
