// Kubernetes' own API as an oracle: objects are compiled as literals of the types that are made of its OpenAPI document.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { z } from 'zod';

/** Where the types of what we make are, by kind. */
const MODULES: ReadonlyMap<string, string> = new Map([
  ['ConfigMap', 'kubernetes-types/core/v1.js'],
  ['PersistentVolumeClaim', 'kubernetes-types/core/v1.js'],
  ['Job', 'kubernetes-types/batch/v1.js'],
  ['CronJob', 'kubernetes-types/batch/v1.js'],
]);

/** What is wrong with `objects`, unknown keys at any depth too; empty when nothing is. */
export function findApiFlaws(objects: readonly { readonly kind: string }[]): string[] {
  const lines = objects.map((object, index) => {
    const module = MODULES.get(object.kind);
    if (module === undefined) throw new Error(`no type is known for ${object.kind}`);
    return `export const object${index}: import('${module}').${object.kind} = ${JSON.stringify(object)};`;
  });
  return compile(lines.join('\n'));
}

/** What the compiler has read, the same for each text: its own declarations and those of Kubernetes. */
const read = new Map<string, ts.SourceFile | undefined>();

/** The compiler's complaints about a text that lies, in its eyes only, beside this file. */
function compile(text: string): string[] {
  const path = join(dirname(fileURLToPath(import.meta.url)), 'k8s-objects.ts');
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    types: [],
    skipLibCheck: true,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.fileExists = (name) => name === path || fileExists(name);
  host.getSourceFile = (name, version, ...rest) => {
    if (name === path) return ts.createSourceFile(name, text, version);
    if (!read.has(name)) read.set(name, getSourceFile(name, version, ...rest));
    return read.get(name);
  };
  const program = ts.createProgram([path], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/**
 * What Kueue asks of a Job that it is to start, by its documentation ("Run a Kubernetes Job") and the schema of the Workload that it
 * makes of it (`kueue.x-k8s.io_workloads.yaml`: `queueName`, `podSets[].template`): the label names a LocalQueue of the Job's
 * namespace, the Job is created suspended, and each container requests what the quota counts.
 */
const QUEUED_JOB = z.looseObject({
  metadata: z.looseObject({
    namespace: z.string().optional(),
    labels: z.looseObject({
      'kueue.x-k8s.io/queue-name': z
        .string()
        .max(63)
        .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/),
    }),
  }),
  spec: z.looseObject({
    suspend: z.literal(true),
    template: z.looseObject({
      spec: z.looseObject({
        containers: z
          .array(
            z.looseObject({
              resources: z.looseObject({ requests: z.looseObject({ cpu: z.string(), memory: z.string() }) }),
            }),
          )
          .min(1),
      }),
    }),
  }),
});

/** What keeps Kueue from starting `jobs`; empty when nothing does. */
export function findQueueFlaws(jobs: readonly unknown[]): string[] {
  return jobs.flatMap((job) => {
    const { error } = QUEUED_JOB.safeParse(job);
    return error === undefined ? [] : error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  });
}
