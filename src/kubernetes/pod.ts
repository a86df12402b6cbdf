// The pod of every Job: one container of the program, without privileges, placed as the options say. Pure.
import type { PodFailurePolicy } from 'kubernetes-types/batch/v1.js';
import type {
  PodSecurityContext,
  PodSpec,
  PodTemplateSpec,
  ResourceRequirements,
  SecurityContext,
  Volume,
  VolumeDevice,
  VolumeMount,
} from 'kubernetes-types/core/v1.js';
import { permanentStatuses } from '../exit-status.ts';
import type { PlanSource } from '../plan/plan.ts';
import type { ManifestOptions, Scheduling } from './options.ts';
import { POD_PATHS } from './pod-plan.ts';

const CONTAINER = 'restore';

export interface PodParts {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly mounts: readonly VolumeMount[];
  readonly devices?: readonly VolumeDevice[];
  readonly volumes: readonly Volume[];
  /** What the pod reads. */
  readonly source: PlanSource;
}

type PodOptions = Pick<ManifestOptions, 'image' | 'serviceAccount' | 'scheduling' | 'runAsRoot' | 'fsGroup' | 'secret'>;

export function podTemplate(
  { labels, annotations, args, mounts, devices, volumes, source }: PodParts,
  options: PodOptions,
): PodTemplateSpec {
  const allLabels = { ...labels, ...identityLabel(source, options) };
  return {
    metadata: { labels: allLabels, ...(annotations === undefined ? {} : { annotations: { ...annotations } }) },
    spec: {
      restartPolicy: 'Never',
      ...(options.serviceAccount === undefined ? {} : { serviceAccountName: options.serviceAccount }),
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      ...placement(options.scheduling),
      securityContext: podSecurity(options),
      containers: [
        {
          name: CONTAINER,
          image: options.image,
          args: args.map(literal),
          resources: RESOURCES,
          securityContext: CONTAINER_SECURITY,
          terminationMessagePolicy: 'FallbackToLogsOnError',
          volumeMounts: [...mounts],
          ...(devices === undefined ? {} : { volumeDevices: [...devices] }),
        },
      ],
      volumes: [...volumes],
    },
  };
}

/** Kubernetes replaces `$(NAME)` in arguments by a variable, and `$$` by `$`; names of disks may hold either. */
function literal(arg: string): string {
  return arg.replaceAll('$', '$$$$');
}

/** What gives a pod the token of its service account's identity in Azure (workload identity), where no Secret has credentials. */
function identityLabel({ kind }: PlanSource, { secret, serviceAccount }: PodOptions): Record<string, string> {
  const isWanted = kind === 'azure' && secret === undefined && serviceAccount !== undefined;
  return isWanted ? { 'azure.workload.identity/use': 'true' } : {};
}

function placement({ priorityClass, nodeSelector, tolerations }: Scheduling = {}): Partial<PodSpec> {
  return {
    ...(priorityClass === undefined ? {} : { priorityClassName: priorityClass }),
    ...(nodeSelector === undefined ? {} : { nodeSelector: { ...nodeSelector } }),
    ...(tolerations === undefined ? {} : { tolerations: tolerations.map((one) => ({ ...one })) }),
  };
}

/** A failure that a new pod would repeat fails the Job at once. A pod that its node evicted does not count. */
export const FAILURE_POLICY: PodFailurePolicy = {
  rules: [
    { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
    {
      action: 'FailJob',
      onExitCodes: { containerName: CONTAINER, operator: 'In', values: permanentStatuses() },
    },
  ],
};

/** The plan if there is one, the credentials, and a little memory for sockets, since the root file system is read-only. */
export function ownVolumes(
  { configMap, files }: { readonly configMap?: string; readonly files: readonly string[] },
  { secret }: Pick<ManifestOptions, 'secret'>,
): { readonly volumes: Volume[]; readonly mounts: VolumeMount[] } {
  const items = files.map((key) => ({ key, path: key }));
  const withSecret = secret !== undefined;
  return {
    volumes: [
      ...(configMap === undefined ? [] : [{ name: 'plan', configMap: { name: configMap } }]),
      ...(withSecret ? [{ name: 'credentials', secret: { secretName: secret, defaultMode: 0o440, items } }] : []),
      { name: 'runtime', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } },
    ],
    mounts: [
      ...(configMap === undefined ? [] : [{ name: 'plan', mountPath: POD_PATHS.plan, readOnly: true }]),
      ...(withSecret ? [{ name: 'credentials', mountPath: POD_PATHS.credentials, readOnly: true }] : []),
      { name: 'runtime', mountPath: POD_PATHS.runtime },
    ],
  };
}

/**
 * Measured, of all processes of a container (PSS, every 0.1 s; CPU as the kernel counts it), with 750 MiB in 2 layers on S3 and a block
 * device: 157 MiB and 1.9 CPU seconds per GB fetched with `stream`, 121 MiB and 3.9 with `staged`, 122 MiB and 1.7 for a scrub. The
 * largest that was measured of the program alone is 255 MiB, with 200 layers (docs/benchmarks.md): with qemu beside it, the request.
 * Half a core keeps up with a network of 1 Gbit/s. The page cache of scratch counts towards the limit of memory, and is given back: with
 * 512 MiB a staged restore takes as long. No limit of CPU: it would only make the restore longer.
 */
const RESOURCES: ResourceRequirements = {
  requests: { cpu: '500m', memory: '384Mi' },
  limits: { memory: '1Gi' },
};

const CONTAINER_SECURITY: SecurityContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
};

/** No uid is asked for unless it is root's, so that OpenShift gives one of the namespace's range; else it is the image's. */
function podSecurity({ runAsRoot, fsGroup }: PodOptions): PodSecurityContext {
  return {
    ...(runAsRoot ? { runAsUser: 0, runAsGroup: 0 } : { runAsNonRoot: true }),
    ...(fsGroup === undefined ? {} : { fsGroup }),
    seccompProfile: { type: 'RuntimeDefault' },
  };
}
