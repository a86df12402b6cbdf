// A path that a run reads, and one that it writes.

export interface ReadPath {
  /** What it is, for messages: `plan`, `credentials file`. */
  readonly what: string;
  /** Absolute; may be `/proc/self/fd/N`. */
  readonly path: string;
  /** How messages name it, if not by its path. */
  readonly label?: string;
  /** A directory with everything inside it. */
  readonly tree?: boolean;
  /** An object of a source: one of very many, of which the file itself is compared and not its directory. */
  readonly object?: boolean;
  /** Of several paths with one `group`, the first that a written path conflicts with is reported; `what` by default. */
  readonly group?: string;
}

/** In the order of blame: of two written paths that conflict, the later kind's is the one to change. */
export const WRITTEN_KINDS = [
  'work directory',
  'target',
  'socket',
  'saved plan',
  'report',
  'termination log',
  'output',
] as const;

export type WrittenKind = (typeof WRITTEN_KINDS)[number];

export interface WrittenPath {
  readonly kind: WrittenKind;
  /** As the user knows it, for messages. Absolute; may be `/proc/self/fd/N`. */
  readonly path: string;
  readonly label?: string;
  /** What is written, replaced or removed there; `path` by default. */
  readonly places?: readonly string[];
  /** A directory with everything inside it. */
  readonly tree?: boolean;
  /** What to do about a conflict, where the kind's own hint would not help. */
  readonly hint?: string;
  /** The PVC of a target. */
  readonly pvc?: string;
  /** Of an existing file that nothing else in the list is: why it must not be replaced; undefined when it may be. */
  readonly refusal?: () => Promise<string | undefined>;
}

/** For a work directory that is in the first usable runtime directory, whatever --scratch says. */
export const RUNTIME_HINT = 'choose another directory for sockets, for example XDG_RUNTIME_DIR=/run';
