// docs/kubernetes.md, "Many VMs": from an empty cluster to running VMs by the blocks as printed. `kubectl` records what it is given; then
// what was applied is checked: every object is one that Kubernetes takes, and finds what it needs.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Test, test } from 'tap';
import { parseAllDocuments } from 'yaml';
import type { Json } from './helpers/bucket.ts';
import { findApiFlaws } from './helpers/k8s-schema.ts';
import { requires } from './helpers/requires.ts';
import { cleanEnvironment, programPath } from './helpers/run-cli.ts';
import { tempFolder } from './helpers/tmp.ts';
import { makeTarball } from './helpers/velero-tarball.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

/** Adds its arguments, and the files that it applies, to `calls.jsonl`. */
const KUBECTL = `#!${process.execPath}
const { appendFileSync, readFileSync } = require('node:fs');
const args = process.argv.slice(2);
const files = args.flatMap((arg, at) => (args[at - 1] === '-f' ? [readFileSync(arg, 'utf8')] : []));
appendFileSync(process.env.CALLS, JSON.stringify({ args, files }) + '\\n');
`;

interface Call {
  readonly args: readonly string[];
  readonly files: readonly string[];
}

function blocksOf(section: string): string[] {
  const page = readFileSync(join(ROOT, 'docs/kubernetes.md'), 'utf8');
  const [, text = ''] = page.split(`\n## ${section}\n`);
  const [own = ''] = text.split('\n## ');
  return [...own.matchAll(/^```sh (?:run|run kubectl)\n(.*?)^```$/gms)].map(([, block = '']) => block);
}

function runBlocks(t: Test, blocks: readonly string[]): readonly Call[] {
  const folder = makeTarball(t, tempFolder(t));
  cpSync(join(ROOT, 'fixtures/bucket'), join(folder, 'bucket'), { recursive: true });
  mkdirSync(join(folder, 'bin'));
  const launcher = `#!/bin/sh\nexec "${process.execPath}" "${programPath()}" "$@"\n`;
  writeFileSync(join(folder, 'bin/kubevirt-datamover'), launcher, { mode: 0o755 });
  writeFileSync(join(folder, 'bin/kubectl'), KUBECTL, { mode: 0o755 });
  writeFileSync(join(folder, 'credentials'), '[default]\n');
  const calls = join(folder, 'calls.jsonl');
  const env = { ...cleanEnvironment(), CALLS: calls, PATH: `${join(folder, 'bin')}:${process.env.PATH}` };
  for (const block of blocks) {
    const run = spawnSync('bash', ['-euo', 'pipefail', '-c', block], { cwd: folder, encoding: 'utf8', env });
    t.equal(run.status, 0, `${block}\n${run.stdout}${run.stderr}`);
  }
  const lines = readFileSync(calls, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Call);
}

/** Of YAML with several documents, or of JSON one after the other. */
function objectsIn({ files }: Call): Json[] {
  return files.flatMap((text) =>
    text.trimStart().startsWith('{')
      ? text.split(/\n(?=\{)/).map((one): Json => JSON.parse(one))
      : Array.from(parseAllDocuments(text), (one): Json => one.toJS()),
  );
}

test('from an empty cluster to running VMs', async (t) => {
  if (!requires(t, 'bash', 'tar', 'jq')) return;
  const calls = runBlocks(t, blocksOf('Many VMs'));
  const place = (wanted: RegExp): number => calls.findIndex(({ args }) => wanted.test(args.join(' ')));
  const applied = calls.flatMap((call) => (call.args[0] === 'apply' ? objectsIn(call) : []));
  const ofKind = (kind: string): Json[] => applied.filter((each) => each.kind === kind);
  const nameOf = ({ metadata }: Json): string => `${metadata.namespace}/${metadata.name}`;

  const restored = applied.filter(
    ({ metadata }) => metadata.labels?.['app.kubernetes.io/name'] === 'kubevirt-datamover',
  );
  t.strictSame(findApiFlaws(restored), []);
  t.strictSame(ofKind('PersistentVolumeClaim').map(nameOf).sort(), ['demo/web-datadisk', 'demo/web-rootdisk']);
  t.strictSame(ofKind('VirtualMachine').map(nameOf), ['demo/web']);

  const made = new Set(calls.flatMap(({ args }) => (args[0] === 'create' && args[1] === 'namespace' ? [args[2]] : [])));
  for (const { kind, metadata } of applied)
    t.ok(made.has(metadata.namespace), `${kind} ${metadata.name}: its namespace`);
  t.ok(place(/^create namespace/) < place(/^apply/), 'namespaces come first');

  const claims = new Set(ofKind('PersistentVolumeClaim').map(nameOf));
  for (const { metadata, spec } of ofKind('Job')) {
    const { volumes } = spec.template.spec;
    for (const { persistentVolumeClaim: claim, secret, configMap } of volumes) {
      if (claim) t.ok(claims.has(`${metadata.namespace}/${claim.claimName}`), `${metadata.name}: ${claim.claimName}`);
      if (configMap) t.ok(ofKind('ConfigMap').some(({ metadata: { name } }) => name === configMap.name));
      for (const { key } of secret?.items ?? []) {
        const created = new RegExp(
          `^-n ${metadata.namespace} create secret generic ${secret.secretName} --from-file=${key}=`,
        );
        t.not(place(created), -1, `${metadata.name}: Secret ${secret.secretName} with ${key}`);
      }
    }
  }

  const [restore, wait, start] = [
    place(/^apply -f restore-all/),
    place(/^wait jobs/),
    place(/^-n demo patch virtualmachine web/),
  ];
  t.ok(place(/^apply .*vms\.json/) !== -1 && restore < wait && wait < start, 'a VM starts once its disks are restored');
  for (const vm of ofKind('VirtualMachine')) {
    t.equal(vm.spec.runStrategy, 'Halted', 'and not before');
    for (const { persistentVolumeClaim: claim } of vm.spec.template.spec.volumes) {
      if (claim) t.ok(claims.has(`${vm.metadata.namespace}/${claim.claimName}`), `the VM finds ${claim.claimName}`);
    }
  }
  t.match(calls[start]?.args.join(' '), /-p \{"spec": \{"runStrategy": "Always"\}\}$/);
});
