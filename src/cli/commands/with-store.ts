// A source for a command that only reads it: opened with progress, and every object that is read recorded.
import type { PlanSource } from '../../plan/plan.ts';
import type { Progress } from '../../progress.ts';
import { withProgress } from '../progress/progress.ts';
import type { Session } from '../session/session.ts';

export type RecordedStore = ReturnType<typeof import('../../paths/recorded-store.ts').recordReads>;

/** Opens a source for `work`, and closes it. Rejects as `withSource` and `work`. */
export async function withStore<T>(
  session: Session,
  { source, maxRate }: { readonly source: PlanSource; readonly maxRate?: number | undefined },
  work: (store: RecordedStore, progress: Progress) => Promise<T>,
): Promise<T> {
  const { env, paths } = session;
  const { pathsOfSource } = await import('../../paths/source-paths.ts');
  const { recordReads } = await import('../../paths/recorded-store.ts');
  paths.reads(...pathsOfSource(source, env));
  const { withSource } = await import('../../inventory/open-source.ts');
  return await withProgress(session, undefined, (progress) =>
    withSource({ source, maxRate, env, progress }, (store) => work(recordReads(store, source, paths), progress)),
  );
}
