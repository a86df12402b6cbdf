// Credentials of another cloud or cluster (type external_account): what the file says of its token and of the exchange.
import { z } from 'zod';
import type { ExternalAccount, SubjectSource } from './credentials.ts';
import { type Refuse, readFields, secureUrl, text } from './file-fields.ts';

const format = z.looseObject({ type: z.enum(['text', 'json']), subject_token_field_name: text.optional() });

const schema = z.looseObject({
  audience: text,
  subject_token_type: text,
  token_url: text,
  service_account_impersonation_url: text.optional(),
  service_account_impersonation: z
    .looseObject({ token_lifetime_seconds: z.number().int().positive().optional() })
    .optional(),
  workforce_pool_user_project: text.optional(),
  client_id: text.optional(),
  client_secret: z.string().optional(),
  universe_domain: z.literal('googleapis.com').optional(),
  credential_source: z.looseObject({
    file: text.optional(),
    url: text.optional(),
    headers: z.record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/), z.string().regex(/^[\t\x20-\x7e]*$/)).optional(),
    format: format.optional(),
  }),
});

export function externalAccount(document: unknown, refuse: Refuse): ExternalAccount {
  const fields = readFields(document, schema, refuse);
  const { service_account_impersonation_url: url, client_id: id, client_secret: secret = '' } = fields;
  const seconds = fields.service_account_impersonation?.token_lifetime_seconds ?? 3600;
  return {
    kind: 'external-account',
    audience: fields.audience,
    subjectTokenType: fields.subject_token_type,
    tokenUrl: secureUrl(fields.token_url, 'token_url', refuse),
    subject: subjectSource(fields.credential_source, refuse),
    userProject: fields.workforce_pool_user_project,
    client: id === undefined ? undefined : { id, secret },
    impersonation:
      url === undefined ? undefined : { url: secureUrl(url, 'service_account_impersonation_url', refuse), seconds },
  };
}

/** A file from a cluster runs no program. */
function subjectSource(source: z.output<typeof schema>['credential_source'], refuse: Refuse): SubjectSource {
  const { file, url, headers = {}, format } = source;
  const field = format?.type === 'json' ? format.subject_token_field_name : undefined;
  if (format?.type === 'json' && field === undefined) {
    return refuse('missing or invalid: credential_source.format.subject_token_field_name');
  }
  if (file !== undefined && url === undefined) return { file, field };
  if (url !== undefined && file === undefined)
    return { url: secureUrl(url, 'credential_source.url', refuse), headers, field };
  const other = ['executable', 'environment_id', 'certificate'].find((name) => name in source);
  const hint = 'use a credential_source with file or url, or the JSON key of a service account';
  return refuse(
    other === undefined ? 'credential_source names neither file nor url' : `unsupported credential_source: ${other}`,
    hint,
  );
}
