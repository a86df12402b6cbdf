// Names and label values of objects, from names of VMs and disks that may hold anything. Pure.
import { createHash } from 'node:crypto';

/** Of a Job, at most 57 characters: its name is a label's value (63), and its pods' names add to it. */
export function jobName(words: readonly string[], identity: string): string {
  return ['restore', ...safeWords(words.join('-')), shortHash(identity)].join('-');
}

/** A path under /dev for the disk's device in a pod, of its own for every disk of a VM. */
export function devicePath(disk: string): string {
  const [words = ''] = safeWords(disk);
  return `/dev/${['target', ...(words === disk ? [words] : [...safeWords(disk), shortHash(disk)])].join('-')}`;
}

/** The text where a label may hold it, else its words with a hash. */
export function labelValue(text: string): string {
  if (text.length <= 63 && /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(text)) return text;
  return [...safeWords(text), shortHash(text)].join('-');
}

/** At most 40 characters, as a part of a DNS label; none where nothing of the text is left. */
function safeWords(text: string): string[] {
  const words = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '');
  return words === '' ? [] : [words];
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
