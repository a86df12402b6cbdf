// Who reads the bucket, as a credentials file says it. Nothing is sent.
import type { KeyObject } from 'node:crypto';

export interface ServiceAccount {
  readonly kind: 'service-account';
  readonly email: string;
  readonly keyId: string | undefined;
  readonly key: KeyObject;
  readonly tokenUrl: URL;
}

/** An identity of another cloud or cluster, whose token is exchanged for one of Google (workload identity federation). */
export interface ExternalAccount {
  readonly kind: 'external-account';
  readonly audience: string;
  readonly subjectTokenType: string;
  readonly tokenUrl: URL;
  readonly subject: SubjectSource;
  /** Of a workforce pool: the project that is billed. */
  readonly userProject: string | undefined;
  readonly client: { readonly id: string; readonly secret: string } | undefined;
  readonly impersonation: Impersonation | undefined;
}

/** Where the other cloud's token is; `field`: it is in that field of a JSON document. */
export type SubjectSource = { readonly field: string | undefined } & (
  | { readonly file: string }
  | { readonly url: URL; readonly headers: Readonly<Record<string, string>> }
);

/** A service account whose token the identity may request. */
interface Impersonation {
  readonly url: URL;
  readonly seconds: number;
}

/** A login of gcloud. */
export interface User {
  readonly kind: 'user';
  readonly client: { readonly id: string; readonly secret: string };
  readonly refreshToken: string;
  readonly tokenUrl: URL;
}

export type FileCredentials = ServiceAccount | ExternalAccount | User;

/** `metadata`: the identity of the machine or pod. */
export type Credentials = FileCredentials | { readonly kind: 'metadata'; readonly host: string };
