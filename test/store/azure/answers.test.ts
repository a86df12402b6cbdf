// What the program makes of the answers that were recorded from Azurite (fixtures/answers), through every kind of request.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import type { ErrorCode } from '../../../src/errors.ts';
import { openAzureStore } from '../../../src/store/azure/azure.ts';
import type { ObjectStore } from '../../../src/store/store.ts';
import { listed, readAll, rejectsWith } from '../../contract/store.ts';
import { startAnswerServer } from '../../helpers/answer-server.ts';
import { readAnswer } from '../../helpers/answers.ts';
import { QUICK } from '../../helpers/s3-peer.ts';

const FOLDER = fileURLToPath(new URL('../../../fixtures/answers', import.meta.url));
const signal = new AbortController().signal;

const KEY = { AZURE_STORAGE_KEY: Buffer.from('EXAMPLE').toString('base64') };
const HOUR_MS = 3_600_000;
const sas = (startsIn: number, expiresIn: number, permissions = 'rl') => {
  const time = (ms: number): string => encodeURIComponent(new Date(Date.now() + ms).toISOString());
  const query = `sv=2025-07-05&sr=c&sp=${permissions}&st=${time(startsIn)}&se=${time(expiresIn)}&sig=EXAMPLE`;
  return { AZURE_STORAGE_SAS_TOKEN: query };
};

interface Meaning {
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
  /** The requests that it is for; all unless named. */
  readonly only?: RegExp;
  readonly env?: Record<string, string>;
}

const denied = (message: RegExp, hint: RegExp, env: Record<string, string> = KEY): Meaning => ({
  code: 'ACCESS_DENIED',
  message,
  hint,
  env,
});

const MEANINGS: Readonly<Record<string, Meaning>> = {
  archived: denied(/in the archive tier/, /set-tier/),
  'no-such-blob': {
    code: 'OBJECT_MISSING',
    message: /\/disk\.qcow2|index\.json.* does not exist/,
    hint: /list/,
    only: /head|get|read/,
  },
  'no-such-container': {
    code: 'OBJECT_MISSING',
    message: /container "backups" .* does not exist/,
    hint: /name of the container/,
  },
  range: { code: 'OBJECT_CHANGED', message: /was replaced/, hint: /run the same command again/, only: /read/ },
  replaced: { code: 'OBJECT_CHANGED', message: /was replaced/, hint: /run the same command again/, only: /read/ },
  'sas-expired': denied(/expired/, /sasTokenFile/, sas(-2 * HOUR_MS, -HOUR_MS)),
  'sas-not-yet': denied(/not valid|starts|valid from/, /clock|sasTokenFile/, sas(HOUR_MS, 2 * HOUR_MS)),
  'sas-permissions': denied(/does not permit read/, /sasTokenFile/, sas(-HOUR_MS, HOUR_MS, 'l')),
  'wrong-key': denied(/the account key is wrong/, /credentialsFile/),
};

const ASK: Readonly<Record<string, (store: ObjectStore) => Promise<unknown>>> = {
  head: (store) => store.head('disk.qcow2', { signal }),
  get: (store) => store.get('index.json', { maxBytes: 1000, signal }),
  read: (store) => readAll(store, 'disk.qcow2', { offset: 0, length: 1, etag: '"x"', size: 1, signal }),
  list: (store) => listed(store, ''),
};

test('every answer that was recorded has a meaning here', async (t) => {
  const recorded = readdirSync(FOLDER).filter((name) => name.startsWith('azurite-'));
  t.same(recorded.map((name) => name.replace(/^azurite-|\.txt$/g, '')).sort(), Object.keys(MEANINGS).sort());
});

test('what each answer means', async (t) => {
  for (const [name, { code, message, hint, only, env = KEY }] of Object.entries(MEANINGS)) {
    const answer = readAnswer(join(FOLDER, `azurite-${name}.txt`));
    const endpoint = await startAnswerServer(t, answer, { ca: '', caFile: '', key: '', cert: '' });
    for (const [what, ask] of Object.entries(ASK)) {
      if (only?.test(what) === false) continue;
      const options = { account: 'testaccount', container: 'backups', endpoint: `${endpoint}/testaccount` };
      const store = await openAzureStore(options, { concurrency: 1, env, policy: QUICK });
      const error = await rejectsWith(t, code, () => ask(store), `${name}: ${what}`);
      t.match(error, { message, hint }, `${name}: ${what}`);
      t.notMatch(`${error.message} ${error.hint}`, /sig=|EXAMPLE/);
      await store.close();
    }
  }
});
