// `manifest <plan>`: Kubernetes YAML that runs a plan in a cluster.
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Problem } from '../../errors.ts';
import type { ManifestOptions, ScratchChoice } from '../../kubernetes/options.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import { collect, throwProblems, withKnown } from '../../problems.ts';
import type { Strategy } from '../../strategy.ts';
import {
  acceptUnprovenOption,
  compressOption,
  hashOption,
  parseInteger,
  parseSize,
  parseText,
  strategyOption,
  verifyOption,
} from '../flags/flags.ts';
import { addHelp, STRATEGIES_SECTION } from '../flags/help.ts';
import { loadPlan } from '../flags/load-plan.ts';
import { refuse } from '../flags/usage.ts';
import type { Outcome } from '../session/outcome.ts';
import type { Run, Session } from '../session/session.ts';
import { explain } from './manifest-comment.ts';
import { chooseCreatePvcs, type PvcFlags, pvcOptions } from './manifest-pvcs.ts';
import {
  parseLabelName,
  parseObjectName,
  type SchedulingFlags,
  schedulingOf,
  schedulingOptions,
} from './manifest-scheduling.ts';
import { type ScrubFlags, scrubOptions, scrubProblems } from './manifest-scrub.ts';

interface Flags extends SchedulingFlags, PvcFlags, ScrubFlags {
  readonly image: string;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly scratchClass?: string;
  readonly scratchSize?: number;
  readonly scratchPvc?: string;
  readonly secret?: string;
  readonly strategy: Strategy;
  readonly targetPvc?: ReadonlyMap<string, string>;
  readonly force?: boolean;
  readonly acceptUnproven?: boolean;
  readonly verify: 'none' | 'compare';
  readonly compress?: boolean;
  readonly hash?: boolean;
  readonly runAsRoot?: boolean;
  readonly fsGroup?: number;
}

export function manifestCommand(run: Run): Command {
  const command = new Command('manifest').argument('[plan]', 'the plan, YAML or JSON; - reads it from standard input');
  for (const option of manifestOptions()) command.addOption(option);
  addHelp(command, {
    summary: 'print Kubernetes YAML that runs a plan in a cluster',
    about:
      'Prints a ConfigMap with the plan and one Job for each of its PVCs; Kubernetes schedules and retries the Jobs. ' +
      'The target of a PVC is the path inside its pod: a block device (/dev/…), or a file (….img) for a PVC with a ' +
      'file system. The PVC in the cluster has the name that the plan gives it (claimName, else the name of the disk), or ' +
      'the name set with --target-pvc. With --create-pvcs, the PVCs are printed as well.\n' +
      'A plan of several VMs gets a ConfigMap for each VM; its objects are in the namespace of the VM. The same plan ' +
      'always gives the same objects.\n' +
      'Pods run without root, without capabilities and with a read-only root file system.',
    examples: [
      {
        comment: 'restore in the namespace demo, with the credentials in the Secret cloud-credentials',
        command:
          'kubevirt-datamover manifest plan.yaml --image IMAGE --namespace demo --secret cloud-credentials |\n' +
          '    kubectl apply -f -',
      },
      {
        comment: 'without scratch volumes',
        command: 'kubevirt-datamover manifest plan.yaml --image IMAGE --strategy stream > restore.yaml',
      },
      {
        comment: 'every Sunday at 3, verify the newest backup of each VM in the source of the plan',
        command: "kubevirt-datamover manifest plan.yaml --image IMAGE --secret cloud-credentials --scrub '0 3 * * 0'",
      },
      {
        comment: 'every VM of a backup, to new PVCs, started by a queue of Kueue',
        command:
          'kubevirt-datamover plan --source s3://backups/velero-kubevirt-datamover --backup b4 > all.yaml\n' +
          '  kubevirt-datamover manifest all.yaml --image IMAGE --secret cloud-credentials --strategy stream \\\n' +
          '    --create-pvcs --storage-class fast --queue restores > restore.yaml',
      },
    ],
    sections: [
      {
        title: 'Volumes without root',
        lines: [
          "The container runtime must make devices accessible to the pod's user: containerd and CRI-O with",
          'device_ownership_from_security_context = true (set by OpenShift Virtualization).',
          'Otherwise use --run-as-root.',
          'Outside OpenShift, volumes with a file system (including scratch) need --fs-group 65532.',
        ],
      },
      STRATEGIES_SECTION,
    ],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => manifest(plan, flags, session)),
  );
}

function manifestOptions(): Option[] {
  return [
    new Option('--image <image>', 'container image of kubevirt-datamover').makeOptionMandatory().argParser(parseImage),
    new Option('--namespace <name>', 'namespace of the target PVCs').argParser(parseLabelName),
    new Option('--service-account <name>', 'service account of the pods').argParser(parseObjectName),
    new Option('--secret <name>', 'Secret with the files that the plan names, or with the key cloud').argParser(
      parseObjectName,
    ),
    strategyOption(),
    new Option('--scratch-class <name>', 'storage class of the scratch volumes').argParser(parseObjectName),
    new Option('--scratch-size <size>', 'size of the scratch volumes (default: computed from the plan)').argParser(
      parseSize({ min: 2 ** 20, max: 2 ** 53 - 1 }),
    ),
    new Option('--scratch-pvc <pvc>', 'existing PVC for scratch; a retried pod resumes from it').argParser(
      parseObjectName,
    ),
    new Option('--target-pvc <name=pvc>', 'PVC in the cluster for a PVC of the plan; repeatable').argParser(
      parseTargetPvc,
    ),
    ...scrubOptions(),
    ...pvcOptions(),
    ...schedulingOptions(),
    new Option('--force', 'overwrite targets that are not blank'),
    verifyOption(),
    compressOption(),
    hashOption(),
    acceptUnprovenOption(),
    new Option('--run-as-root', 'run as uid 0, still without capabilities'),
    new Option('--fs-group <gid>', 'group that owns the volumes').argParser(parseInteger({ min: 1, max: 999_999_999 })),
  ];
}

async function manifest(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  const problems: Problem[] = [];
  const scratch = await collect(problems, () => chooseScratch(flags));
  const createPvcs = await collect(problems, () => chooseCreatePvcs(flags));
  const ofJobs = {
    '--create-pvcs': flags.createPvcs,
    '--queue': flags.queue,
    '--target-pvc': flags.targetPvc,
    '--force': flags.force,
    '--verify': flags.verify === 'compare',
    '--compress': flags.compress,
    '--hash': flags.hash,
  };
  problems.push(...scrubProblems(flags, ofJobs));
  const { plan, problems: ofPlan } = await withKnown(problems, () => loadPlan(argument, session));
  problems.push(...ofPlan);
  if (plan.order === 'unproven' && flags.acceptUnproven !== true) {
    const hint = 'add --accept-unproven, which the Jobs then use as well';
    problems.push({ code: 'CHAIN_BROKEN', message: 'the plan marks the order of its layers as unproven', hint });
  }
  const { buildManifest } = await import('../../kubernetes/manifest.ts');
  const { printDocuments } = await import('../../plan/print-yaml.ts');
  const options: ManifestOptions = {
    image: flags.image,
    scratch: scratch ?? { kind: 'ephemeral' },
    strategy: flags.strategy,
    force: flags.force ?? false,
    acceptUnproven: flags.acceptUnproven ?? false,
    verify: flags.verify,
    compress: flags.compress ?? false,
    hash: flags.hash ?? false,
    runAsRoot: flags.runAsRoot ?? false,
    claims: flags.targetPvc ?? new Map(),
    scheduling: schedulingOf(flags),
    ...omitUndefined({
      namespace: flags.namespace,
      serviceAccount: flags.serviceAccount,
      secret: flags.secret,
      fsGroup: flags.fsGroup,
      createPvcs,
    }),
  };
  if (flags.scrub !== undefined) {
    const scrub = { schedule: flags.scrub, ...omitUndefined({ maxRate: flags.maxRate }) };
    const { buildScrub } = await import('../../kubernetes/scrub.ts');
    const cronJob = await withKnown(problems, () => buildScrub(plan, scrub, options));
    throwProblems(problems, plan);
    const items = [cronJob];
    return { document: { apiVersion: 'v1', kind: 'List', items }, text: printDocuments(items), problems: [] };
  }
  const built = await withKnown(problems, () => buildManifest(plan, options));
  throwProblems(problems, plan);
  return {
    document: { apiVersion: 'v1', kind: 'List', items: built.objects },
    text: printDocuments(built.objects, { comment: explain(built, options) }),
    problems: [],
  };
}

/** Refuses flags that do not go together. */
function chooseScratch({ strategy, scratchPvc, scratchClass, scratchSize }: Flags): ScratchChoice {
  const volume = scratchClass !== undefined || scratchSize !== undefined;
  if (strategy === 'stream' && (volume || scratchPvc !== undefined)) {
    refuse('--strategy stream needs no scratch', 'remove --scratch-class, --scratch-size and --scratch-pvc');
  }
  if (scratchPvc === undefined) {
    return { kind: 'ephemeral', ...omitUndefined({ storageClass: scratchClass, size: scratchSize }) };
  }
  if (volume) {
    refuse(
      '--scratch-pvc cannot be combined with --scratch-class or --scratch-size',
      'use --scratch-pvc for an existing PVC, the others for a new one',
    );
  }
  return { kind: 'claim', claim: scratchPvc };
}

function parseImage(value: string): string {
  if (/\s/.test(parseText(value))) throw new InvalidArgumentError('It must be an image name.');
  return value;
}

function parseTargetPvc(value: string, earlier: ReadonlyMap<string, string> | undefined): ReadonlyMap<string, string> {
  const at = value.lastIndexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be NAME=PVC.');
  return new Map([...(earlier ?? []), [value.slice(0, at), parseObjectName(value.slice(at + 1))]]);
}
