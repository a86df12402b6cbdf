// Writes docs/commands.md and docs/plan.schema.json.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../build/bundle.ts';
import { commandsPage } from './commands.ts';
import { planSchema } from './plan-schema.ts';

await writeFile(join(ROOT, 'docs/commands.md'), commandsPage());
await writeFile(join(ROOT, 'docs/plan.schema.json'), `${JSON.stringify(planSchema(), null, 2)}\n`);
