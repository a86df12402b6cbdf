// What an HTTP answer says that is no success: status, S3's name for it, headers, and the words of its body.

/** The facts of an error that the SDK threw for an HTTP answer. */
export interface ErrorAnswer {
  readonly status: number;
  /** `NoSuchKey`…; `Unknown` when the answer names none. */
  readonly name: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The start of the body; '' when it has none (HEAD) or is not known. It may quote the request, so it is never shown. */
  readonly text: string;
  readonly requestId: string;
  /** The server's clock differs from this machine's, and the SDK signs for the server's from now on. */
  readonly skewCorrected: boolean;
}

const TEXTS = new WeakMap<object, string>();

/** Keeps the body's text for `errorAnswerOf`: the SDK reads of a body only what is S3's XML. */
export function keepText(response: object, body: Uint8Array): void {
  TEXTS.set(response, Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'));
}

/** Undefined for an error that is not about an HTTP answer. */
export function errorAnswerOf(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  const status = metadata.httpStatusCode;
  if (typeof status !== 'number') return undefined;
  const response = '$response' in error && typeof error.$response === 'object' ? error.$response : null;
  return {
    status,
    name: /^[A-Za-z0-9.]{1,64}$/.test(error.name) && error.name !== 'Error' ? error.name : 'Unknown',
    headers: headersOf(response),
    text: (response === null ? undefined : TEXTS.get(response)) ?? '',
    requestId: 'requestId' in metadata && typeof metadata.requestId === 'string' ? metadata.requestId : 'unknown',
    skewCorrected: 'clockSkewCorrected' in metadata && metadata.clockSkewCorrected === true,
  };
}

function headersOf(response: object | null): Record<string, string> {
  if (response === null || !('headers' in response)) return {};
  const { headers } = response;
  if (typeof headers !== 'object' || headers === null) return {};
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
}

/** An element of S3's error document, if its value is a plain word: a region, a class, a host name. */
export function elementOf({ text }: Pick<ErrorAnswer, 'text'>, name: string): string | undefined {
  return new RegExp(`<${name}>([A-Za-z0-9._:-]{1,255})</${name}>`).exec(text)?.[1];
}

/** The region that the bucket is in, or that the request must be signed for. */
export function regionOf(answer: ErrorAnswer): string | undefined {
  const header = answer.headers['x-amz-bucket-region'];
  const named = header ?? elementOf(answer, 'Region') ?? endpointRegion(elementOf(answer, 'Endpoint'));
  return named !== undefined && /^[a-z0-9][a-z0-9-]{0,62}$/.test(named) ? named : undefined;
}

/** `s3-eu-west-1.amazonaws.com` and `s3.eu-west-1.amazonaws.com`. */
function endpointRegion(endpoint: string | undefined): string | undefined {
  return /(?:^|\.)s3[.-]([a-z]{2}(?:-[a-z]+)+-\d+)\.amazonaws\.com/.exec(endpoint ?? '')?.[1];
}

/** Whether S3 answered; a body that is missing or unknown leaves it open. */
export function isOfS3({ headers, text, name }: ErrorAnswer): boolean {
  return name !== 'Unknown' || headers['x-amz-request-id'] !== undefined || /<Error>[\s\S]*<Code>/.test(text);
}

export function isWebPage({ headers, text }: Pick<ErrorAnswer, 'headers' | 'text'>): boolean {
  return (
    /^text\/html\b/i.test(headers['content-type'] ?? '') || /^\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype )?html\b/i.test(text)
  );
}
