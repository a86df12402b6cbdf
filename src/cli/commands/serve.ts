// `serve <plan> --pvc NAME`: exports a backed-up disk over NBD, read-only.
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import type { Problem } from '../../errors.ts';
import { omitUndefined } from '../../omit-undefined.ts';
import { collect, withKnown } from '../../problems.ts';
import type { Served, ServeOptions } from '../../serve/serve.ts';
import { count, formatBytes } from '../../units.ts';
import type { DraftFlags } from '../flags/draft.ts';
import { concurrencyOption, parsePort, parseText, scratchOption, windowOption } from '../flags/flags.ts';
import { addHelp, CREDENTIALS_SECTION } from '../flags/help.ts';
import { findScratch } from '../flags/scratch.ts';
import { SOURCE_SECTION } from '../flags/source.ts';
import { refuse } from '../flags/usage.ts';
import { withProgress } from '../progress/progress.ts';
import { isLogged } from '../session/log.ts';
import type { Outcome } from '../session/outcome.ts';
import { printResult } from '../session/print-result.ts';
import { type Run, type Session, secondsOf } from '../session/session.ts';
import { draftedPlanOptions, planOrDraftWithoutTargets } from './plan-or-draft.ts';

interface Flags extends DraftFlags {
  readonly pvc?: string;
  readonly socket?: string;
  readonly port?: number;
  readonly concurrency?: number;
  readonly window?: number;
  readonly scratch?: string;
}

export function serveCommand(run: Run): Command {
  const command = new Command('serve')
    .argument('[plan]', 'the plan, YAML or JSON; - reads it from standard input')
    .addOption(new Option('--pvc <name>', 'PVC to serve; optional if the plan has only one').argParser(parseText))
    .addOption(new Option('--socket <path>', 'listen on this Unix socket').argParser(parseText))
    .addOption(new Option('--port <port>', 'listen on this TCP port of 127.0.0.1').argParser(parsePort))
    .addOption(concurrencyOption())
    .addOption(windowOption('memory for cached and read-ahead blocks (default 96Mi)'))
    .addOption(scratchOption('directory for internal sockets if no runtime directory is usable'));
  for (const option of draftedPlanOptions()) command.addOption(option);
  addHelp(command, {
    summary: 'export a backed-up disk read-only over NBD',
    about:
      'Exports one PVC as a read-only NBD device, directly from the source, until stopped with Ctrl-C. Downloads only ' +
      'the blocks that clients read. Does not use the target.\n' +
      'To copy files from it, mount it, compare it, or boot an overlay of it, see docs/recipes.md.',
    examples: [
      {
        comment: 'the newest backup of a VM, without a plan',
        command: 'kubevirt-datamover serve --source ./bucket --vm demo/web --pvc rootdisk --socket /tmp/disk.sock',
      },
      {
        comment: 'on a Unix socket; then, in another terminal: qemu-img info "nbd+unix:///?socket=/tmp/disk.sock"',
        command: 'kubevirt-datamover serve plan.yaml --pvc rootdisk --socket /tmp/disk.sock',
      },
      {
        comment: 'on a TCP port, for clients without Unix sockets',
        command: 'kubevirt-datamover serve plan.yaml --pvc rootdisk --port 10809',
      },
    ],
    sections: [SOURCE_SECTION, CREDENTIALS_SECTION],
  });
  return command.action((plan: string | undefined, flags: Flags) =>
    run(command, (session) => loadAndServe(plan, flags, session)),
  );
}

async function loadAndServe(argument: string | undefined, flags: Flags, session: Session): Promise<Outcome> {
  const problems: Problem[] = [];
  const listen = await collect(problems, () => listenOf(flags, session));
  const drafting = { ...flags, pvcs: flags.pvc === undefined ? [] : [flags.pvc] };
  const { plan, problems: ofPlan } = await withKnown(problems, () =>
    planOrDraftWithoutTargets(argument, drafting, session),
  );
  const { serve: serveDisk } = await import('../../serve/serve.ts');
  const { pvc, concurrency, window } = flags;
  // Who waits for the URI would wait for ever when it cannot be written.
  const unheard = new AbortController();
  const served = await withProgress(session, undefined, (progress) =>
    serveDisk({
      plan,
      problems: [...problems, ...ofPlan],
      listen,
      env: session.env,
      paths: session.paths,
      progress,
      signal: AbortSignal.any([session.signal, unheard.signal]),
      onReady: (ready) => void reportReady(ready, session).catch((error: unknown) => unheard.abort(error)),
      ...omitUndefined({ pvc, concurrency, window, scratch: findScratch(flags.scratch, plan, session) }),
    }),
  );
  unheard.signal.throwIfAborted();
  const result = served === undefined ? 'cancelled' : 'ok';
  const document = { version: 1, result, ...served, seconds: secondsOf(session) };
  return { document, text: '', problems: [] };
}

function listenOf({ socket, port }: Flags, { cwd }: Session): ServeOptions['listen'] {
  if (socket !== undefined && port !== undefined) {
    refuse('--socket cannot be combined with --port', 'use one of them');
  }
  if (socket !== undefined) return { kind: 'unix', path: resolve(cwd, socket) };
  if (port !== undefined) return { kind: 'tcp', port };
  return refuse('no listen address', 'add --socket PATH or --port PORT, for example --socket /tmp/disk.sock');
}

/** Scripts need the URI; with JSON it is in the document at the end, and the socket's existence means that it is ready. */
async function reportReady({ pvc, uri, virtualSize, layers }: Served, session: Session): Promise<void> {
  const { stderr, flags } = session;
  if (flags.output === 'text') {
    const failure = await printResult(`${uri}\n`, session);
    if (failure !== undefined) throw failure;
  }
  if (!isLogged('info', flags.logLevel)) return;
  stderr.write(
    [
      `serving ${pvc} (${formatBytes(virtualSize)}, ${count(layers, 'layer')}) read-only at ${uri}; press Ctrl-C to stop`,
      `  inspect it:     qemu-img info '${uri}'`,
      `  list its files: virt-filesystems --add '${uri}' --long; or guestfish --ro --format=raw -a '${uri}' -i`,
      `  mount it:       qemu-nbd --read-only --connect=/dev/nbd0 '${uri}'; mount -o ro,noload /dev/nbd0p1 /mnt`,
      `  more:           docs/recipes.md`,
      '',
    ].join('\n'),
  );
}
