// A Job's pod under podman: its arguments, mounts, devices and security context, as a kubelet would give them.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** What is in the cluster, by name: what the pod's volumes refer to. */
export interface Cluster {
  /** A folder that this function may fill. */
  readonly folder: string;
  readonly configMaps: ReadonlyMap<string, Readonly<Record<string, string>>>;
  /** Folders that hold a file per key. */
  readonly secrets: ReadonlyMap<string, string>;
  /** Block devices (for `volumeDevices`) or folders (for `volumeMounts`). */
  readonly claims: ReadonlyMap<string, string>;
}

const VOLUME = z.object({
  name: z.string(),
  configMap: z.object({ name: z.string() }).optional(),
  secret: z.object({ secretName: z.string() }).optional(),
  persistentVolumeClaim: z.object({ claimName: z.string() }).optional(),
  emptyDir: z.object({ medium: z.literal('Memory') }).optional(),
  ephemeral: z.object({}).optional(),
});

const CONTAINER = z.object({
  image: z.string(),
  args: z.array(z.string()),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false),
    capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
    readOnlyRootFilesystem: z.literal(true),
  }),
  volumeMounts: z.array(z.strictObject({ name: z.string(), mountPath: z.string(), readOnly: z.boolean().optional() })),
  volumeDevices: z.array(z.strictObject({ name: z.string(), devicePath: z.string() })).optional(),
});

const JOB = z.object({
  spec: z.object({
    template: z.object({
      spec: z.object({
        securityContext: z.object({ runAsUser: z.number().optional() }),
        containers: z.tuple([CONTAINER]),
        volumes: z.array(VOLUME),
      }),
    }),
  }),
});

/** Arguments of `podman run` for the pod of `job`, an arbitrary uid being what a cluster chooses. */
export function podArguments(job: unknown, cluster: Cluster): string[] {
  const { spec } = JOB.parse(job).spec.template;
  const [container] = spec.containers;
  const volumes = new Map(spec.volumes.map((volume) => [volume.name, volume]));
  const placeOf = (name: string): string => {
    const volume = volumes.get(name);
    if (volume === undefined) throw new Error(`the pod has no volume ${name}`);
    return findPlace(volume, cluster);
  };
  return [
    '--read-only',
    '--read-only-tmpfs=false',
    `--user=${spec.securityContext.runAsUser ?? 1000680000}:0`,
    '--cap-drop=all',
    '--security-opt=no-new-privileges',
    '--env=KUBERNETES_SERVICE_HOST=10.0.0.1',
    ...container.volumeMounts.map(({ name, mountPath, readOnly }) => {
      if (volumes.get(name)?.emptyDir !== undefined) return `--tmpfs=${mountPath}:rw,mode=1777`;
      return `--volume=${placeOf(name)}:${mountPath}${readOnly === true ? ':ro' : ''}`;
    }),
    ...(container.volumeDevices ?? []).map(({ name, devicePath }) => `--device=${placeOf(name)}:${devicePath}`),
    container.image,
    ...container.args,
  ];
}

function findPlace(volume: z.infer<typeof VOLUME>, { folder, configMaps, secrets, claims }: Cluster): string {
  const { name, configMap, secret, persistentVolumeClaim } = volume;
  if (secret !== undefined) return known(secrets, secret.secretName);
  if (persistentVolumeClaim !== undefined) return known(claims, persistentVolumeClaim.claimName);
  const place = join(folder, `${name}-${crypto.randomUUID().slice(0, 8)}`);
  mkdirSync(place);
  // The group's, as fsGroup makes it; mkdir's mode would be cut by the umask.
  chmodSync(place, 0o770);
  if (configMap === undefined) return place;
  for (const [key, text] of Object.entries(known(configMaps, configMap.name))) writeFileSync(join(place, key), text);
  return place;
}

function known<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name);
  if (value === undefined) throw new Error(`there is no ${name}: ${[...map.keys()].join(', ')}`);
  return value;
}
