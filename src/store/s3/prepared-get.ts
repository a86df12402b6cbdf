// GETs without the SDK's middleware, which takes 1 ms of CPU a request: the SDK builds one request of the bucket, and for each object
// only its signer runs, and that once.
import type { GetObjectCommand, GetObjectCommandInput, GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import type { AwsCredentialIdentity, FinalizeRequestMiddleware, HttpRequest, RequestSigner } from '@smithy/types';
import { encodePath } from '../http/message.ts';
import { RangeSigner } from './range-signer.ts';

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
  /** By key, the one kept last at the end. */
  readonly #known = new Map<string, KnownObject>();
  readonly #client: S3Client;
  readonly #request: HttpRequest;
  readonly #signer: RequestSigner;
  readonly #scope: SigningScope;

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
    // The SDK keeps the difference to the server's clock there, and corrects it by the answers that it sees.
    const time = Date.now() + this.#client.config.systemClockOffset;
    const credentials = await this.#client.config.credentials();
    const known = this.#known.get(key);
    if (range !== undefined && known?.ifMatch === ifMatch && known?.credentials === credentials) {
      const signed = known.signer.sign(range, time);
      if (signed !== undefined) return signed;
    }
    const path = `${this.#request.path.slice(0, -SOME_KEY.length)}${encodePath(key)}`;
    const headers = {
      ...this.#request.headers,
      ...(range === undefined ? {} : { range }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    };
    const signingDate = new Date(time);
    const signed = await this.#signer.sign({ ...this.#request, path, headers }, { ...this.#scope, signingDate });
    const signer = range === undefined ? undefined : RangeSigner.from(signed, credentials);
    if (signer !== undefined) this.#keep(key, { signer, ifMatch, credentials });
    return signed;
  }

  #keep(key: string, known: KnownObject): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    const oldest = this.#known.size > MOST_KNOWN ? this.#known.keys().next().value : undefined;
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}

/** What the signature of an object's reads depends on. */
interface KnownObject {
  readonly signer: RangeSigner;
  readonly ifMatch: string | undefined;
  readonly credentials: AwsCredentialIdentity;
}

/** The layers that are read at the same time. */
const MOST_KNOWN = 256;

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
