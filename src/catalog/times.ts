// Orders checkpoints by their two times: the one in the id, and the creation time of the backup. A guess: clocks jump, and a VM
// may have been restored in place or made again. Pure.

export interface Timed {
  readonly id: string;
  /** RFC 3339, of the archived backup or the index. */
  readonly createdAt: string | undefined;
}

/** `<VirtualMachineBackup>-YYYY-MM-DD_HH-MM-SS` (UTC): its parts; undefined for an id of another form. */
export function parseCheckpointId(id: string): { readonly vmBackup: string; readonly takenAt: number } | undefined {
  const [, vmBackup, date, hour, minute, second] = /^(.+)-(\d{4}-\d{2}-\d{2})_(\d{2})-(\d{2})-(\d{2})$/.exec(id) ?? [];
  if (vmBackup === undefined) return undefined;
  const takenAt = Date.parse(`${date}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(takenAt) ? undefined : { vmBackup, takenAt };
}

export type Predecessor = { readonly id: string } | { readonly problem: string };

/** The newest of `others` that is older than `one` by every time that both have; a problem where the times do not order them. */
export function predecessorByTime(one: Timed, others: readonly Timed[]): Predecessor {
  let newest: Timed | undefined;
  for (const other of others) {
    if (other.id === one.id) continue;
    const order = compareTimes(other, one);
    if (typeof order !== 'number') return order;
    if (order > 0) continue;
    const against = newest === undefined ? 1 : compareTimes(other, newest);
    if (typeof against !== 'number') return against;
    if (against > 0) newest = other;
  }
  return newest === undefined ? { problem: 'no older checkpoint was found for it to build on' } : { id: newest.id };
}

/** Negative when `a` is older; a problem when they cannot be ordered. */
function compareTimes(a: Timed, b: Timed): number | { readonly problem: string } {
  const byId = sign(parseCheckpointId(a.id)?.takenAt, parseCheckpointId(b.id)?.takenAt);
  const byCreation = sign(timeOf(a), timeOf(b));
  const problem = `the times of checkpoints ${a.id} and ${b.id}`;
  if (byId !== undefined && byCreation !== undefined && byId !== byCreation) {
    return { problem: `${problem} contradict each other: by the ids and by creation they have different orders` };
  }
  const order = byId ?? byCreation;
  if (order === undefined || order === 0) return { problem: `${problem} do not tell which is older` };
  return order;
}

function timeOf({ createdAt }: Timed): number | undefined {
  const time = createdAt === undefined ? Number.NaN : Date.parse(createdAt);
  return Number.isNaN(time) ? undefined : time;
}

function sign(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.sign(a - b);
}
