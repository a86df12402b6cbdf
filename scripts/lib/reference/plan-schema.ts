// The JSON Schema of plans, made of the schema that the program reads them with: for editors, and for checks before the program runs.
import { z } from 'zod';
import { planDocument } from '../../../src/plan/schema.ts';

/** Keys and types. What a key means for others (one source, chains in order, unique names) only the program checks. */
export function planSchema(): object {
  return {
    title: 'kubevirt-datamover restore plan',
    ...z.toJSONSchema(planDocument, { io: 'input', unrepresentable: 'any' }),
  };
}
