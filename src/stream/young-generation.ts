// V8's young generation, kept from growing while a disk is streamed.
import { setFlagsFromString } from 'node:v8';

/**
 * What a stream allocates is short-lived and small, but there is much of it under way: V8 answers that by growing its young
 * generation to 105 MiB, more than the window (200 layers: 368 MiB in all; without that 256 MiB, for the same CPU time). It
 * stays at the few MiB that it has reached when this is called. The flag is read whenever it would grow.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
