// How other stores and the proxies before them speak S3: what the misbehaving peer makes of a real server's answers, for good.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

export interface DialectRequest {
  readonly method: string;
  /** Its query may be changed, as `headers` may; see `Dialect.rewrite`. */
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  /** Whether it asks for a listing. */
  readonly list: boolean;
}

export interface Dialect {
  /** An S3 error in place of the answer. */
  readonly refuse?: (request: DialectRequest) => { readonly status: number; readonly code: string } | undefined;
  /** Changes the request on its way. The signature does not survive this: the bucket must be open to all (`Rgw.openToAll`). */
  readonly rewrite?: (request: DialectRequest) => void;
  /** Changes status and headers of an answer below 300. */
  readonly answer?: (response: IncomingMessage, request: DialectRequest) => void;
  /** Changes the XML of a listing. */
  readonly listing?: (xml: string) => string;
}

/** All of them at once; of several refusals the first. */
export function joined(...dialects: readonly Dialect[]): Dialect {
  const rewrites = dialects.flatMap(({ rewrite }) => rewrite ?? []);
  return {
    refuse: (request) => {
      for (const { refuse } of dialects) {
        const refusal = refuse?.(request);
        if (refusal !== undefined) return refusal;
      }
      return undefined;
    },
    ...(rewrites.length === 0 ? {} : { rewrite: (request) => rewrites.forEach((rewrite) => void rewrite(request)) }),
    answer: (response, request) => {
      for (const { answer } of dialects) answer?.(response, request);
    },
    listing: (xml) => dialects.reduce((before, { listing }) => listing?.(before) ?? before, xml),
  };
}

const retagged = (change: (etag: string) => string | undefined): Dialect => ({
  answer: ({ headers }) => {
    const etag = headers.etag === undefined ? undefined : change(headers.etag);
    if (etag === undefined) delete headers.etag;
    else headers.etag = etag;
  },
});

const refusingIfMatch = (status: number, code: string): Dialect => ({
  refuse: ({ headers }) => (headers['if-match'] === undefined ? undefined : { status, code }),
});

const ofHead = (change: (headers: IncomingHttpHeaders) => void): Dialect => ({
  answer: ({ headers }, { method }) => {
    if (method === 'HEAD') change(headers);
  },
});

/** Pages of two entries, so that a small bucket has several. */
const listing = (change: (query: URLSearchParams) => void): Dialect => ({
  rewrite: ({ list, url }) => {
    if (!list) return;
    url.searchParams.set('max-keys', '2');
    change(url.searchParams);
  },
});

const weak = retagged((etag) => `W/${etag}`);
const version1 = listing((query) => {
  for (const name of ['list-type', 'continuation-token', 'start-after']) query.delete(name);
});
const ifMatchFails = refusingIfMatch(412, 'PreconditionFailed');
const headWithoutLength = ofHead((headers) => delete headers['content-length']);
const completeWith200: Dialect = {
  answer: (response) => {
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers['content-range'] ?? '') ?? [];
    if (first !== '0' || Number(last) !== Number(total) - 1) return;
    response.statusCode = 200;
    delete response.headers['content-range'];
  },
};

/** Dialects that pins must hold in: name → dialect. */
export const PINNED_DIALECTS: Readonly<Record<string, Dialect>> = {
  'weak ETags': weak,
  'weak ETags, and If-Match fails for each of them': joined(weak, ifMatchFails),
  'weak ETags in GET alone': {
    answer: ({ headers }, { method }) => {
      if (method === 'GET' && headers.etag !== undefined) headers.etag = `W/${headers.etag}`;
    },
  },
  'ETags without quotes': retagged((etag) => etag.replaceAll('"', '')),
  'no ETag at all': retagged(() => undefined),
  'no ETag in HEAD': ofHead((headers) => delete headers.etag),
  'If-Match is ignored': {
    rewrite: ({ headers }) => {
      delete headers['if-match'];
    },
  },
  'If-Match is answered with 501': refusingIfMatch(501, 'NotImplemented'),
  'If-Match is answered with 400': refusingIfMatch(400, 'InvalidRequest'),
  '200 for a range that is the complete object': completeWith200,
  'a gateway with most of this': joined(weak, ifMatchFails, headWithoutLength, completeWith200, version1),
};

/** Others. */
export const OTHER_DIALECTS: Readonly<Record<string, Dialect>> = {
  'HEAD without Content-Length': headWithoutLength,
  'HEAD with a Content-Length of 0': ofHead((headers) => {
    headers['content-length'] = '0';
  }),
  'ListObjectsV2 answered as ListObjects': version1,
  'ListObjects without NextMarker': joined(version1, {
    listing: (xml) => xml.replace(/<NextMarker>[^<]*<\/NextMarker>/, ''),
  }),
  'ListObjectsV2 answered with 501': {
    ...version1,
    refuse: ({ list, url }) =>
      list && url.searchParams.has('list-type') ? { status: 501, code: 'NotImplemented' } : undefined,
  },
  'ListObjectsV2 without a token': joined(
    listing(() => {}),
    { listing: (xml) => xml.replace(/<NextContinuationToken>[^<]*<\/NextContinuationToken>/, '') },
  ),
  'keys encoded unasked': listing((query) => query.set('encoding-type', 'url')),
  'Delimiter is ignored': {
    rewrite: ({ list, url }) => {
      if (list) url.searchParams.delete('delimiter');
    },
  },
  'headers in capitals, ranges in chunks': {
    answer: (response, { method }) => {
      const { headers } = response;
      if (method === 'HEAD') return;
      delete headers['content-length'];
      for (const [name, value] of Object.entries(headers)) {
        delete headers[name];
        headers[name.toUpperCase()] = value;
      }
      headers['TRANSFER-ENCODING'] = 'chunked';
    },
  },
  'times in another form': {
    answer: ({ headers }) => {
      const modified = headers['last-modified'];
      if (modified !== undefined) headers['last-modified'] = new Date(modified).toISOString();
      headers.expires = '0';
      headers['x-amz-object-lock-retain-until-date'] = 'never';
    },
  },
  'a Last-Modified that is no time': {
    answer: ({ headers }) => {
      if (headers['last-modified'] !== undefined) headers['last-modified'] = 'some time ago';
    },
  },
  'every version is called null': {
    answer: ({ headers }) => {
      headers['x-amz-version-id'] = 'null';
    },
  },
};

/** The answer as the dialect has it. */
export async function spoken(
  dialect: Dialect,
  request: DialectRequest,
  response: IncomingMessage,
): Promise<IncomingMessage> {
  if ((response.statusCode ?? 0) >= 300) return response;
  dialect.answer?.(response, request);
  if (!request.list || dialect.listing === undefined) return response;
  const { statusCode, headers } = response;
  const xml = Buffer.from(dialect.listing(await text(response)));
  delete headers['transfer-encoding'];
  headers['content-length'] = String(xml.length);
  return Object.assign(Readable.from([xml]) as IncomingMessage, { statusCode, headers });
}

/** The headers without what proves who sent them. */
export function unsigned(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !/^(authorization|x-amz-.*)$/.test(name));
  return Object.fromEntries(kept);
}
