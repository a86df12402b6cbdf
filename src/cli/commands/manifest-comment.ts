// The comment above the objects that `manifest` prints: how to apply them, wait for them, and see what failed.
import type { Manifest } from '../../kubernetes/manifest.ts';
import type { ManifestOptions } from '../../kubernetes/options.ts';

/** Lines without their `#`. */
export function explain(
  { selector, podSelector, namespaces }: Manifest,
  { secret, createPvcs, scheduling }: ManifestOptions,
): string {
  const [namespace, ...others] = namespaces;
  const kubectl = namespace === undefined || others.length > 0 ? 'kubectl' : `kubectl -n ${namespace}`;
  const everywhere = others.length === 0 ? '' : ' --all-namespaces';
  const objects = `-l ${selector}${everywhere}`;
  const pods = `-l ${podSelector}${everywhere}`;
  return [
    'Stop the VMs that use the target PVCs, then:',
    `  apply:    ${kubectl} apply -f FILE`,
    `  watch:    ${kubectl} get ${podSelector === selector ? 'jobs,pods' : 'jobs'} ${objects}`,
    `  wait:     ${kubectl} wait jobs ${objects} --for=condition=Complete --timeout=24h`,
    `  failed:   ${kubectl} get pods ${pods} --field-selector=status.phase=Failed ${FAILED_COLUMNS}`,
    // Older kubectl has no logs of all namespaces.
    ...(others.length === 0 ? [`  logs:     ${kubectl} logs --prefix --follow ${pods}`] : []),
    `  debug:    ${kubectl} describe pods ${pods}`,
    `  remove:   ${kubectl} delete jobs,configmaps ${objects}`,
    ...(secret === undefined ? [] : [`The Secret ${secret} must already exist${inEach(namespaces)}.`]),
    ...(scheduling?.queue === undefined
      ? []
      : [`The LocalQueue ${scheduling.queue} must already exist${inEach(namespaces)}.`]),
    ...(createPvcs === undefined ? [] : ['The PVCs are kept when the Jobs are removed.']),
  ].join('\n');
}

/** Which Job a pod is of, and the code and the message with which it ended. */
const FAILED_COLUMNS =
  "-o custom-columns='NAMESPACE:.metadata.namespace,JOB:.metadata.labels.job-name,WHY:.status.containerStatuses[0].state.terminated.message'";

function inEach(namespaces: readonly string[]): string {
  return namespaces.length < 2 ? '' : ` in each of the ${namespaces.length} namespaces`;
}
