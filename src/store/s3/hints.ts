// What to do about an S3 server that refuses: by the error's name.

export const DEFAULT_ACCESS_HINT =
  'check that these keys may read (s3:GetObject) and list (s3:ListBucket) the bucket; name another profile or credentialsFile';

export const SSE_HINT =
  'an object that is encrypted with a key of yours (SSE-C) needs that key as sseCustomerKeyFile, and most servers want https for it';

export const PROXY_HINT = 'the proxy wants a login: put user and password into HTTP(S)_PROXY';

export const ACCESS_HINTS: ReadonlyMap<string, string> = new Map([
  ['InvalidAccessKeyId', 'the server does not know the access key: check credentialsFile, profile and endpoint'],
  [
    'SignatureDoesNotMatch',
    'the secret key is wrong: check credentialsFile and profile (a # in the file is part of the key unless a space precedes it)',
  ],
  ['ExpiredToken', 'the session token has expired: get new credentials'],
  ['TokenRefreshRequired', 'the session token has expired: get new credentials'],
  ['InvalidToken', 'the session token is wrong: get new credentials'],
  ['InvalidObjectState', 'the object is in an archive: have it restored from there first'],
]);
