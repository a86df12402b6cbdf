// A store that adds each object that is read to the list of paths: which documents a chain is looked up in is known only then.
import type { PlanSource } from '../plan/plan.ts';
import type { ObjectStore } from '../store/store.ts';
import type { Paths } from './paths.ts';
import { pathOfObject } from './source-paths.ts';

/** As `store`; an object is added once it was found. Closing it is left to whoever opened `store`. */
export function recordReads(store: ObjectStore, source: PlanSource, paths: Paths): ObjectStore {
  if (source.kind !== 'directory') return store;
  return {
    ...store,
    head: async (key, options) => {
      const info = await store.head(key, options);
      paths.reads(...pathOfObject(source, key));
      return info;
    },
    start: async (key, options) => {
      const start = await store.start(key, options);
      paths.reads(...pathOfObject(source, key));
      return start;
    },
    get: async (key, options) => {
      const bytes = await store.get(key, options);
      paths.reads(...pathOfObject(source, key));
      return bytes;
    },
  };
}
