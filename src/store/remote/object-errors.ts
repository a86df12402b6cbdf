// What is wrong with an object, in the same words for every store.
import { DatamoverError } from '../../errors.ts';

export function missingObject({ where }: { readonly where: string }, cause?: Error): DatamoverError {
  return new DatamoverError('OBJECT_MISSING', `${where} does not exist`, {
    hint: 'check the prefix and the name; `kubevirt-datamover list` shows what the backup contains',
    ...(cause === undefined ? {} : { cause }),
  });
}

export function changedObject(where: string, cause?: Error): DatamoverError {
  return new DatamoverError('OBJECT_CHANGED', `${where} was replaced since the run started`, {
    hint: 'wait until the process that writes to the bucket has finished, then run the same command again',
    ...(cause === undefined ? {} : { cause }),
  });
}
